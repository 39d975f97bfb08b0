// What was said of a use before the use came, by its key
// parameters: none
// returns: none
CREATE CONSTRAINT pending_key IF NOT EXISTS FOR (n:Pending) REQUIRE n.key IS UNIQUE
