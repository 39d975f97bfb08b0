// What is held of the uses of executions
// parameters: keys
// returns: artifact, execution, facts
UNWIND $keys AS key
MATCH (e:Entity {key: key})-[u:INPUT|OUTPUT]-(a)
USING INDEX SEEK e:Entity(key)
WHERE e:Execution
RETURN a.key AS artifact, e.key AS execution, u {.*, type: type(u)} AS facts
