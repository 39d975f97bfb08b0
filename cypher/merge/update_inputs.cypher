// Inputs that are here, anew
// parameters: rows
// returns: none
UNWIND $rows AS row
MATCH ()-[u:INPUT {key: row.key}]->()
USING INDEX SEEK u:INPUT(key)
WITH u, row, u.cmf_version AS version // it came when it came, whatever is said of it later
SET u = row.set, u.cmf_version = version
