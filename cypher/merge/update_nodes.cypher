// Nodes that are here, anew
// parameters: rows
// returns: none
UNWIND $rows AS row
MATCH (n:Entity {key: row.key})
SET n = row.set
REMOVE n:$(row.gone)
SET n:$(row.labels)
