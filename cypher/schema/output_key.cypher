// Every output has one key
// parameters: none
// returns: none
CREATE CONSTRAINT output_key IF NOT EXISTS FOR ()-[u:OUTPUT]-() REQUIRE u.key IS UNIQUE
