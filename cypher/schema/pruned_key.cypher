// What was pruned and stays away, by its key
// parameters: none
// returns: none
CREATE CONSTRAINT pruned_key IF NOT EXISTS FOR (n:Pruned) REQUIRE n.key IS UNIQUE
