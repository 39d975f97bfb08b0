// How many uses are at a node
// parameters: key
// returns: total
MATCH (n:Entity {key: $key})
USING INDEX SEEK n:Entity(key)
RETURN COUNT { (n)-[:INPUT|OUTPUT]-() } AS total
