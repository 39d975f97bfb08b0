// Chunks of points of executions, of those that came after a version
// parameters: keys, after
// returns: execution, series, chunk, stamp, rows
UNWIND $keys AS key
MATCH (e:Entity {key: key})<-[:POINTS_OF]-(p:Points)
USING INDEX SEEK e:Entity(key)
WHERE p.cmf_version > $after
RETURN e.key AS execution, p.series AS series, p.chunk AS chunk, p.stamp AS stamp, p.rows AS rows
