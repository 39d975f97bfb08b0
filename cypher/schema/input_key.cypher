// Every input has one key
// parameters: none
// returns: none
CREATE CONSTRAINT input_key IF NOT EXISTS FOR ()-[u:INPUT]-() REQUIRE u.key IS UNIQUE
