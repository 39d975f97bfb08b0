// The chunks of points of a series, in order, each with the number of its points
// parameters: execution, series
// returns: chunk, count
MATCH (e:Entity {key: $execution})<-[:POINTS_OF]-(p:Points)
USING INDEX SEEK e:Entity(key)
WHERE p.series = $series
RETURN p.chunk AS chunk, p.count AS count
ORDER BY chunk
