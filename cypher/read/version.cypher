// The version of the schema
// parameters: none
// returns: version
MATCH (s:Schema {name: 'cmf'})
RETURN s.version AS version
