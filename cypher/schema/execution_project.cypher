// Executions by project
// parameters: none
// returns: none
CREATE INDEX execution_project IF NOT EXISTS FOR (n:Execution) ON (n.project)
