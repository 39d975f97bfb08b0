// Every segment of a journal has one head
// parameters: none
// returns: none
CREATE CONSTRAINT segment_id IF NOT EXISTS FOR (n:Segment) REQUIRE n.id IS UNIQUE
