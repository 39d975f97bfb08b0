// The points of executions that are members of other projects or pipelines now: they count as new
// parameters: keys, version
// returns: none
UNWIND $keys AS key
MATCH (e:Entity {key: key})<-[:POINTS_OF]-(p:Points)
USING INDEX SEEK e:Entity(key)
SET p.cmf_version = $version
