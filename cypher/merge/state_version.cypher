// State which version of the schema is here, where none is stated, and give the store a name of its own
// parameters: version
// returns: version
MERGE (s:Schema {name: 'cmf'})
ON CREATE SET s.version = $version, s.store = randomUUID()
RETURN s.version AS version
