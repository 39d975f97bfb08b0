// Uses after nodes: what was made of them
// parameters: keys, include_retracted
// returns: key, artifact, execution, kind, path
UNWIND $keys AS root
MATCH (s:Entity {key: root})
USING INDEX SEEK s:Entity(key)
WHERE $include_retracted OR s.retracted IS NULL
MATCH p = (s)-[:INPUT|OUTPUT*0..]->(n)
WHERE all(x IN nodes(p) WHERE $include_retracted OR x.retracted IS NULL)
  AND all(u IN relationships(p) WHERE $include_retracted OR u.retracted IS NULL)
WITH DISTINCT n
MATCH (n)-[u:INPUT|OUTPUT]->(m)
WHERE $include_retracted OR (u.retracted IS NULL AND m.retracted IS NULL)
RETURN
  u.key AS key,
  CASE type(u) WHEN 'INPUT' THEN n.key ELSE m.key END AS artifact,
  CASE type(u) WHEN 'INPUT' THEN m.key ELSE n.key END AS execution,
  type(u) AS kind,
  coalesce(u.long_path, u.path) AS path
