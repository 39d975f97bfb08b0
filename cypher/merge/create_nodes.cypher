// New nodes
// parameters: rows, now, version
// returns: none
UNWIND $rows AS row
CREATE (n:Entity:$(row.labels))
SET
  n = row.set,
  n.recorded_at = $now,
  n.cmf_version = $version,
  n.started_at = datetime(row.set.started_at),
  n.ended_at = datetime(row.set.ended_at)
