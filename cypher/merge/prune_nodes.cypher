// Nodes that are pruned, with all their relationships
// parameters: keys
// returns: none
UNWIND $keys AS key
MATCH (n:Entity {key: key})
USING INDEX SEEK n:Entity(key)
DETACH DELETE n
