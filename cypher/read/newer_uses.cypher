// Uses that came, or whose execution moved, after a version
// parameters: keys, after
// returns: key
UNWIND $keys AS key
MATCH ()-[u:INPUT {key: key}]->()
USING INDEX SEEK u:INPUT(key)
WHERE u.cmf_version > $after
RETURN u.key AS key
UNION ALL
UNWIND $keys AS key
MATCH ()-[u:OUTPUT {key: key}]->()
USING INDEX SEEK u:OUTPUT(key)
WHERE u.cmf_version > $after
RETURN u.key AS key
