// Those of these artifacts that have any use
// parameters: keys
// returns: key
UNWIND $keys AS key
MATCH (n:Entity {key: key})
USING INDEX SEEK n:Entity(key)
WHERE EXISTS { (n)-[:INPUT|OUTPUT]-() }
RETURN n.key AS key
