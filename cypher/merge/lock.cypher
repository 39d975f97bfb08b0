// Wait until no other writer is at work, then hold the graph until this transaction ends
// parameters: now
// returns: count
MERGE (w:Writer {name: 'merge'})
SET w.count = coalesce(w.count, 0) + 1, w.last_merge = $now
RETURN w.count AS count
