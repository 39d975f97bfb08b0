// Nodes that are here, anew
// parameters: rows, version
// returns: none
UNWIND $rows AS row
MATCH (n:Entity {key: row.key})
USING INDEX SEEK n:Entity(key)
SET
  n = row.set,
  n.cmf_version = $version,
  n.started_at = datetime(row.set.started_at),
  n.ended_at = datetime(row.set.ended_at)
REMOVE n:$(row.gone)
SET n:$(row.labels)
