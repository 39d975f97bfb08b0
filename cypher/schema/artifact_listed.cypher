// Artifacts in the order in which they are listed
// parameters: none
// returns: none
CREATE INDEX artifact_listed IF NOT EXISTS FOR (n:Artifact) ON (n.first_seen, n.key)
