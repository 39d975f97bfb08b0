// How many nodes of each kind were told of, how many uses, sites, pruned nodes, and when the last merge was
// parameters: none
// returns: artifact, execution, pipeline, stage, input, output, sites, pruned, last_merge
RETURN
  COUNT { (:Artifact) } - COUNT { (n:Stub) WHERE n:Artifact } AS artifact,
  COUNT { (:Execution) } - COUNT { (n:Stub) WHERE n:Execution } AS execution,
  COUNT { (:Pipeline) } AS pipeline,
  COUNT { (:Stage) } AS stage,
  COUNT { ()-[:INPUT]->() } AS input,
  COUNT { ()-[:OUTPUT]->() } AS output,
  COUNT { MATCH (s:Segment) RETURN DISTINCT s.site } AS sites,
  COUNT { (:Pruned) } - COUNT { (:PrunedUse) } AS pruned,
  head(COLLECT { MATCH (w:Writer {name: 'merge'}) RETURN w.last_merge }) AS last_merge
