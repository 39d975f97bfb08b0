// How many pipelines a list has
// parameters: q, q_lower, name
// returns: total
MATCH (n:Pipeline)
WHERE n.name IS NOT NULL
  AND ($q IS NULL OR toLower(n.name) CONTAINS $q_lower OR n.key STARTS WITH $q OR n.key CONTAINS ':' + $q)
  AND ($name IS NULL OR n.name = $name)
RETURN count(n) AS total
