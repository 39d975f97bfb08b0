// From now on merges look whether what they bring was pruned
// parameters: none
// returns: none
MERGE (w:Writer {name: 'merge'})
SET w.pruned = true
