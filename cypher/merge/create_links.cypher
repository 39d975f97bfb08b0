// New uses and relations, and the links of stages to their pipelines and executions
// parameters: rows, now, version
// returns: none
UNWIND $rows AS row
MATCH (source:Entity {key: row.source})
USING INDEX SEEK source:Entity(key)
MATCH (target:Entity {key: row.target})
USING INDEX SEEK target:Entity(key)
CREATE (source)-[link:$(row.type)]->(target)
SET link = row.set, link.recorded_at = $now, link.cmf_version = $version
