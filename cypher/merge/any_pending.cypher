// Whether anything was said of a use that has not come
// parameters: none
// returns: key
MATCH (p:Pending)
RETURN p.key AS key
LIMIT 1
