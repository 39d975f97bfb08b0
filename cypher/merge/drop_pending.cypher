// Uses that have come
// parameters: keys
// returns: none
UNWIND $keys AS key
MATCH (p:Pending {key: key})
USING INDEX SEEK p:Pending(key)
DELETE p
