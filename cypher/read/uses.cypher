// What is held of uses
// parameters: keys
// returns: artifact, execution, facts
UNWIND $keys AS key
MATCH (a)-[u:INPUT {key: key}]->(e)
USING INDEX SEEK u:INPUT(key)
RETURN a.key AS artifact, e.key AS execution, u {.*, type: 'INPUT'} AS facts
UNION ALL
UNWIND $keys AS key
MATCH (e)-[u:OUTPUT {key: key}]->(a)
USING INDEX SEEK u:OUTPUT(key)
RETURN a.key AS artifact, e.key AS execution, u {.*, type: 'OUTPUT'} AS facts
