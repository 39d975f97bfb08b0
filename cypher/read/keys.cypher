// Keys of nodes, in order
// parameters: first, last, limit
// returns: key
MATCH (n:Entity)
WHERE n.key >= $first AND n.key < $last
RETURN n.key AS key
ORDER BY n.key
LIMIT $limit
