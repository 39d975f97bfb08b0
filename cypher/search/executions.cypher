// A page of executions, newest first
// parameters: q, q_lower, name, type, pipeline, stage, project, status, at, key, limit
// returns: key
MATCH (n:Execution)
WHERE n.started <= $at AND n.key IS NOT NULL
// Ordered before it is filtered, or 5.26 splits the filter into a union of indexes and sorts.
WITH n
ORDER BY n.started DESC, n.key DESC
WHERE (n.started < $at OR n.key < $key)
  AND ($q IS NULL OR toLower(n.name) CONTAINS $q_lower OR n.key STARTS WITH $q OR n.key CONTAINS ':' + $q)
  AND ($name IS NULL OR n.name = $name)
  AND ($type IS NULL OR n.type = $type)
  AND (
    (($pipeline IS NULL OR n.pipeline = $pipeline) AND ($stage IS NULL OR n.stage = $stage)) OR
    any(place IN n.places WHERE
      ($pipeline IS NULL OR place STARTS WITH $pipeline + '\n') AND
      ($stage IS NULL OR place ENDS WITH '\n' + $stage))
  )
  AND ($project IS NULL OR n.project = $project)
  AND ($status IS NULL OR n.status = $status)
RETURN n.key AS key
ORDER BY n.started DESC, n.key DESC
LIMIT $limit
