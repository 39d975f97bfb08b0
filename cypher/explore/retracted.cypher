// What was retracted, why, and what was made of it
// parameters: none
// returns: retracted, uses, made
MATCH (retracted:Entity)
WHERE retracted.retracted IS NOT NULL
OPTIONAL MATCH (retracted)-[uses:INPUT|OUTPUT*1..2]->(made)
RETURN retracted, uses, made
LIMIT 200
