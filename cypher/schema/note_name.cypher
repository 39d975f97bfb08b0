// Every note has one name
// parameters: none
// returns: none
CREATE CONSTRAINT note_name IF NOT EXISTS FOR (n:Note) REQUIRE n.name IS UNIQUE
