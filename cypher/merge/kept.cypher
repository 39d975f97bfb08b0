// The note under this name, unless its time is over
// parameters: name, now
// returns: content
MATCH (n:Note {name: $name})
WHERE n.until > $now
RETURN n.content AS content
