// Pipelines, their stages, and the latest runs of each
// parameters: none
// returns: pipeline, has, stage, runs
MATCH (pipeline:Pipeline)-[has:HAS_STAGE]->(stage:Stage)
CALL (stage) {
  MATCH path = (stage)-[:RAN]->(run:Execution)
  RETURN path
  ORDER BY run.started DESC
  LIMIT 5
}
RETURN pipeline, has, stage, collect(path) AS runs
LIMIT 100
