// Relations, each with the least stamp of its telling
// parameters: rows
// returns: none
UNWIND $rows AS row
MATCH (source:Entity {key: row.source})
MATCH (target:Entity {key: row.target})
MERGE (source)-[r:$(row.type)]->(target)
SET r.first = CASE WHEN r.first <= row.set.first THEN r.first ELSE row.set.first END
