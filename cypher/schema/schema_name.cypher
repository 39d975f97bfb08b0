// There is one schema version
// parameters: none
// returns: none
CREATE CONSTRAINT schema_name IF NOT EXISTS FOR (n:Schema) REQUIRE n.name IS UNIQUE
