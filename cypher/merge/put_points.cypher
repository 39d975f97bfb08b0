// Chunks of points
// parameters: rows, version
// returns: none
UNWIND $rows AS row
MATCH (e:Entity {key: row.execution})
USING INDEX SEEK e:Entity(key)
MERGE (p:Points {id: row.set.id})
SET p = row.set, p.cmf_version = $version
MERGE (p)-[:POINTS_OF]->(e)
