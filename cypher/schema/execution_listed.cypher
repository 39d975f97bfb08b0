// Executions in the order in which they are listed
// parameters: none
// returns: none
CREATE INDEX execution_listed IF NOT EXISTS FOR (n:Execution) ON (n.started, n.key)
