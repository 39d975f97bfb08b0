// What was said of uses that have not come
// parameters: keys
// returns: key, facts
UNWIND $keys AS key
MATCH (p:Pending {key: key})
USING INDEX SEEK p:Pending(key)
RETURN p.key AS key, properties(p) AS facts
