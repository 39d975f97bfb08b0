// There is one writer
// parameters: none
// returns: none
CREATE CONSTRAINT writer_name IF NOT EXISTS FOR (n:Writer) REQUIRE n.name IS UNIQUE
