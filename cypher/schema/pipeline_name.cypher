// Pipelines by name
// parameters: none
// returns: none
CREATE INDEX pipeline_name IF NOT EXISTS FOR (n:Pipeline) ON (n.name, n.key)
