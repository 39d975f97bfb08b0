// Chunks of points
// parameters: rows
// returns: none
UNWIND $rows AS row
MATCH (e:Entity {key: row.execution})
USING INDEX SEEK e:Entity(key)
MERGE (p:Points {id: row.set.id})
SET p = row.set
MERGE (p)-[:POINTS_OF]->(e)
