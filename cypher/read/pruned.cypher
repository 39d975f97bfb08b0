// What was pruned, by its keys, in order
// parameters: first, last, limit
// returns: key, at, aside
MATCH (p:Pruned)
WHERE p.key >= $first AND p.key < $last
RETURN p.key AS key, p.at AS at, p.cmf_aside AS aside
ORDER BY p.key
LIMIT $limit
