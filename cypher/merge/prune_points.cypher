// The points of executions that are pruned
// parameters: keys
// returns: none
UNWIND $keys AS key
MATCH (e:Entity {key: key})<-[:POINTS_OF]-(p:Points)
USING INDEX SEEK e:Entity(key)
DETACH DELETE p
