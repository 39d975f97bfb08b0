// The uses at nodes
// parameters: keys
// returns: use, at, far
UNWIND $keys AS key
MATCH (n:Entity {key: key})-[u:INPUT|OUTPUT]-(far)
USING INDEX SEEK n:Entity(key)
RETURN u.key AS use, n.key AS at, far.key AS far
