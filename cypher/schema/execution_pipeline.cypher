// Executions by the name of their pipeline
// parameters: none
// returns: none
CREATE INDEX execution_pipeline IF NOT EXISTS FOR (n:Execution) ON (n.pipeline)
