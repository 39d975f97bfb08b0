// Where the latest models came from, five hops back
// parameters: none
// returns: path
MATCH (model:Model)
WHERE model.retracted IS NULL
WITH model
ORDER BY model.first_seen DESC
LIMIT 3
MATCH path = (model)<-[:INPUT|OUTPUT*0..10]-(origin)
RETURN path
LIMIT 300
