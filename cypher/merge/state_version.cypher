// State which version of the schema is here, where none is stated
// parameters: version
// returns: version
MERGE (s:Schema {name: 'cmf'})
ON CREATE SET s.version = $version
RETURN s.version AS version
