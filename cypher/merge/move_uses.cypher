// The uses of executions that are members of other projects or pipelines now: they count as new
// parameters: keys, version
// returns: none
UNWIND $keys AS key
MATCH (e:Entity {key: key})-[u:INPUT|OUTPUT]-()
USING INDEX SEEK e:Entity(key)
SET u.cmf_version = $version
