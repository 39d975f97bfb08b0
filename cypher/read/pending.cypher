// All that was said of uses that have not come
// parameters: none
// returns: key, facts
MATCH (p:Pending)
RETURN p.key AS key, properties(p) AS facts
