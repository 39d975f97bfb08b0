// Relations at a node, either way
// parameters: key
// returns: kind, source, target, first
MATCH (n:Entity {key: $key})-[r:SLICE_OF|LABELS|DERIVED_FROM|VERSION_OF|PART_OF|RAN_IN]-()
USING INDEX SEEK n:Entity(key)
WITH DISTINCT r
RETURN type(r) AS kind, startNode(r).key AS source, endNode(r).key AS target, r.first AS first
