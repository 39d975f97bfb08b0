// How many executions a list has
// parameters: q, q_lower, name, type, pipeline, stage, project, status
// returns: total
MATCH (n:Execution)
WHERE n.started IS NOT NULL
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
RETURN count(n) AS total
