// Runs that failed, the latest first, with what they read
// parameters: none
// returns: run, read, artifact
MATCH (run:Execution {status: 'failed'})
WITH run
ORDER BY run.started DESC
LIMIT 25
OPTIONAL MATCH (artifact:Artifact)-[read:INPUT]->(run)
RETURN run, read, artifact
LIMIT 200
