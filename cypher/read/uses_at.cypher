// Uses at a node, inputs first, by path
// parameters: key, limit
// returns: artifact, execution, facts
MATCH (n:Entity {key: $key})-[u:INPUT|OUTPUT]-(other)
USING INDEX SEEK n:Entity(key)
WITH n, u, other
ORDER BY type(u), coalesce(u.long_path, u.path), u.key
LIMIT $limit
WITH u, CASE WHEN n:Execution THEN other ELSE n END AS artifact, CASE WHEN n:Execution THEN n ELSE other END AS execution
RETURN artifact.key AS artifact, execution.key AS execution, u {.*, type: type(u)} AS facts
