// Nodes that are newer than a version
// parameters: keys, after
// returns: key
UNWIND $keys AS key
MATCH (n:Entity {key: key})
USING INDEX SEEK n:Entity(key)
WHERE n.cmf_version > $after
RETURN n.key AS key
