// Keep a note until a time
// parameters: name, content, until
// returns: none
MERGE (n:Note {name: $name})
SET n.content = $content, n.until = $until
