// Nodes that something which belongs to them changed: they are as new
// parameters: keys, version
// returns: none
UNWIND $keys AS key
MATCH (n:Entity {key: key})
USING INDEX SEEK n:Entity(key)
SET n.cmf_version = $version
