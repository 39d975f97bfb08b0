// Relations by their source
// parameters: keys
// returns: kind, source, target, first
UNWIND $keys AS key
MATCH (s:Entity {key: key})-[r:SLICE_OF|LABELS|DERIVED_FROM|VERSION_OF|PART_OF|RAN_IN]->(t)
USING INDEX SEEK s:Entity(key)
RETURN type(r) AS kind, s.key AS source, t.key AS target, r.first AS first
