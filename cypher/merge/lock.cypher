// Wait until no other writer is at work, then hold the graph until this transaction ends; the version that it makes, and whether anything was pruned
// parameters: now, milliseconds
// returns: version, pruned
MERGE (w:Writer {name: 'merge'})
SET w.last_merge = $now, w.version = coalesce(w.version, 0) + 1
SET w.version = CASE WHEN w.version > $milliseconds THEN w.version ELSE $milliseconds END
RETURN w.version AS version, coalesce(w.pruned, false) AS pruned
