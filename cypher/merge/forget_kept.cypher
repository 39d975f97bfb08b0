// Some notes whose time is over go
// parameters: now
// returns: none
MATCH (n:Note)
WHERE n.until <= $now
WITH n LIMIT 100
DELETE n
