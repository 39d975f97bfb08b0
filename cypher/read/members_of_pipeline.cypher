// Executions of pipelines of a name
// parameters: pipeline
// returns: key
MATCH (e:Execution {pipeline: $pipeline})
RETURN e.key AS key
