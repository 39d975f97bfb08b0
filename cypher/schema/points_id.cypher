// Every chunk of points has one id
// parameters: none
// returns: none
CREATE CONSTRAINT points_id IF NOT EXISTS FOR (n:Points) REQUIRE n.id IS UNIQUE
