// What is held of uses
// parameters: keys
// returns: artifact, execution, facts
UNWIND $keys AS key
MATCH (source)-[u:INPUT|OUTPUT {key: key}]->(target)
RETURN
  CASE type(u) WHEN 'INPUT' THEN source.key ELSE target.key END AS artifact,
  CASE type(u) WHEN 'INPUT' THEN target.key ELSE source.key END AS execution,
  u {.*, type: type(u)} AS facts
