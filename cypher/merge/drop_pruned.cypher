// Artifacts that were pruned and are used again
// parameters: keys
// returns: none
UNWIND $keys AS key
MATCH (p:Pruned {key: key})
USING INDEX SEEK p:Pruned(key)
DELETE p
