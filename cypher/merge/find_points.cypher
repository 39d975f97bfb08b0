// The stamps and rows of chunks of points
// parameters: ids
// returns: id, stamp, rows
UNWIND $ids AS id
MATCH (p:Points {id: id})
USING INDEX SEEK p:Points(id)
RETURN p.id AS id, p.stamp AS stamp, p.rows AS rows
