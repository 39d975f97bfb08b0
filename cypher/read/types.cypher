// How many artifacts there are of each type
// parameters: none
// returns: type, total
MATCH (n:Artifact)
UNWIND n.types AS type
RETURN type, count(*) AS total
ORDER BY type
