// Relations that are here
// parameters: rows
// returns: kind, source, target, first
UNWIND $rows AS row
MATCH (source:Entity {key: row.source})
USING INDEX SEEK source:Entity(key)
MATCH (target:Entity {key: row.target})
USING INDEX SEEK target:Entity(key)
MATCH (source)-[r:SLICE_OF|LABELS|DERIVED_FROM|VERSION_OF|PART_OF|RAN_IN]->(target)
WHERE type(r) = row.type
RETURN type(r) AS kind, source.key AS source, target.key AS target, r.first AS first
