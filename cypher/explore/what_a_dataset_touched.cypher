// What the first dataset has touched, five hops on (for another, put its key: {key: 'md5:…'})
// parameters: none
// returns: path
MATCH (data:Dataset)
WITH data
ORDER BY data.first_seen
LIMIT 1
MATCH path = (data)-[:INPUT|OUTPUT*0..10]->(touched)
RETURN path
LIMIT 300
