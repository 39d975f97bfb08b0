// A page of pipelines, by name
// parameters: q, q_lower, name, at, key, limit
// returns: key
MATCH (n:Pipeline)
WHERE n.name >= $at AND n.key IS NOT NULL
// Ordered before it is filtered, or 5.26 splits the filter into a union of indexes and sorts.
WITH n
ORDER BY n.name, n.key
WHERE (n.name > $at OR n.key > $key)
  AND ($q IS NULL OR toLower(n.name) CONTAINS $q_lower OR n.key STARTS WITH $q OR n.key CONTAINS ':' + $q)
  AND ($name IS NULL OR n.name = $name)
RETURN n.key AS key
ORDER BY n.name, n.key
LIMIT $limit
