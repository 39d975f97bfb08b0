// Those of these that were pruned
// parameters: keys
// returns: key, at, aside
UNWIND $keys AS key
MATCH (p:Pruned {key: key})
USING INDEX SEEK p:Pruned(key)
RETURN p.key AS key, p.at AS at, p.cmf_aside AS aside
