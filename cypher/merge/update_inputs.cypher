// Inputs that are here, anew
// parameters: rows
// returns: none
UNWIND $rows AS row
MATCH ()-[u:INPUT {key: row.key}]->()
USING INDEX SEEK u:INPUT(key)
SET u = row.set
