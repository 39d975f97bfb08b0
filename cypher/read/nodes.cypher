// What is held of nodes (as columns: a map for each would repeat their names)
// parameters: keys
// returns: key, name, types, size_bytes, sha256, first_seen, first_origin, recorded_at, series, retraction_recorded_at, cmf_identity, cmf_record, cmf_ending, cmf_start_told, cmf_properties, cmf_retraction
UNWIND $keys AS key
MATCH (n:Entity {key: key})
USING INDEX SEEK n:Entity(key)
RETURN
  n.key AS key,
  n.name AS name,
  n.types AS types,
  n.size_bytes AS size_bytes,
  n.sha256 AS sha256,
  n.first_seen AS first_seen,
  n.first_origin AS first_origin,
  n.recorded_at AS recorded_at,
  n.series AS series,
  n.retraction_recorded_at AS retraction_recorded_at,
  n.cmf_identity AS cmf_identity,
  n.cmf_record AS cmf_record,
  n.cmf_ending AS cmf_ending,
  n.cmf_start_told AS cmf_start_told,
  n.cmf_properties AS cmf_properties,
  n.cmf_retraction AS cmf_retraction
