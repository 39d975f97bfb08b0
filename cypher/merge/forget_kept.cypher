// Some notes whose time is over go
// parameters: now
// returns: none
MATCH (n:Note)
USING INDEX n:Note(until)
WHERE n.until <= $now
WITH n LIMIT 100
DELETE n
