// Relations by their target
// parameters: keys
// returns: kind, source, target, first
UNWIND $keys AS key
MATCH (t:Entity {key: key})<-[r:SLICE_OF|LABELS|DERIVED_FROM|VERSION_OF|PART_OF|RAN_IN]-(s)
USING INDEX SEEK t:Entity(key)
RETURN type(r) AS kind, s.key AS source, t.key AS target, r.first AS first
