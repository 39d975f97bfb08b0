// New nodes
// parameters: rows
// returns: none
UNWIND $rows AS row
CREATE (n:Entity:$(row.labels))
SET n = row.set
