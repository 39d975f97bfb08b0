// Keys of uses that something was said of and that have not come, a page at a time
// parameters: after, limit
// returns: key
MATCH (p:Pending)
WHERE p.key > $after
RETURN p.key AS key
ORDER BY p.key
LIMIT $limit
