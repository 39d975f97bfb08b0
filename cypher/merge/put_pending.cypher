// What was said of uses that have not come
// parameters: rows
// returns: none
UNWIND $rows AS row
MERGE (p:Pending {key: row.key})
SET p = row.set
