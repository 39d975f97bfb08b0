// Inputs that are pruned by themselves
// parameters: keys
// returns: none
UNWIND $keys AS key
MATCH ()-[u:INPUT {key: key}]->()
USING INDEX SEEK u:INPUT(key)
DELETE u
