// What is held of nodes
// parameters: keys
// returns: key, facts
UNWIND $keys AS key
MATCH (n:Entity {key: key})
RETURN n.key AS key, n {
  .name, .types, .size_bytes, .first_seen, .first_origin, .recorded_at, .series, .retraction_recorded_at,
  .cmf_identity, .cmf_record, .cmf_ending, .cmf_start_told, .cmf_properties, .cmf_retraction
} AS facts
