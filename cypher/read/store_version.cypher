// Which store this is, and its version
// parameters: none
// returns: store, version
MATCH (s:Schema {name: 'cmf'})
RETURN s.store AS store, coalesce(head(COLLECT { MATCH (w:Writer {name: 'merge'}) RETURN w.version }), 0) AS version
