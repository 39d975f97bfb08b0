// Outputs that are pruned by themselves
// parameters: keys
// returns: none
UNWIND $keys AS key
MATCH ()-[u:OUTPUT {key: key}]->()
USING INDEX SEEK u:OUTPUT(key)
DELETE u
