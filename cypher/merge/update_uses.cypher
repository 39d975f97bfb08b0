// Uses that are here, anew
// parameters: rows
// returns: none
UNWIND $rows AS row
MATCH ()-[u:INPUT|OUTPUT {key: row.key}]->()
SET u = row.set
