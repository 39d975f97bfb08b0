// Executions that ran in these stages, or in stages of these pipelines, by what was said of them
// parameters: keys
// returns: key
UNWIND $keys AS key
MATCH (s:Entity {key: key})<-[:RAN_IN]-(e:Execution)
USING INDEX SEEK s:Entity(key)
RETURN e.key AS key
UNION
UNWIND $keys AS key
MATCH (p:Entity {key: key})-[:HAS_STAGE]->()<-[:RAN_IN]-(e:Execution)
USING INDEX SEEK p:Entity(key)
RETURN e.key AS key
