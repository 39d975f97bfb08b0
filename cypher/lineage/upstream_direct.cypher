// Uses that lead to these nodes themselves
// parameters: keys, include_retracted
// returns: key, artifact, execution, kind, path
UNWIND $keys AS root
MATCH (n:Entity {key: root})
USING INDEX SEEK n:Entity(key)
WHERE $include_retracted OR n.retracted IS NULL
MATCH (n)<-[u:INPUT|OUTPUT]-(m)
WHERE $include_retracted OR (u.retracted IS NULL AND m.retracted IS NULL)
RETURN
  u.key AS key,
  CASE type(u) WHEN 'INPUT' THEN m.key ELSE n.key END AS artifact,
  CASE type(u) WHEN 'INPUT' THEN n.key ELSE m.key END AS execution,
  type(u) AS kind,
  coalesce(u.long_path, u.path) AS path
