// Chunks of points of executions
// parameters: keys
// returns: execution, series, chunk, stamp, rows
UNWIND $keys AS key
MATCH (e:Entity {key: key})<-[:POINTS_OF]-(p:Points)
USING INDEX SEEK e:Entity(key)
RETURN e.key AS execution, p.series AS series, p.chunk AS chunk, p.stamp AS stamp, p.rows AS rows
