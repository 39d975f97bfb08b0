// Outputs that are here, anew
// parameters: rows
// returns: none
UNWIND $rows AS row
MATCH ()-[u:OUTPUT {key: row.key}]->()
USING INDEX SEEK u:OUTPUT(key)
SET u = row.set
