// How many artifacts a list has
// parameters: q, q_lower, name, type, used, pipeline, stage, project
// returns: total
MATCH (n:Artifact)
WHERE n.first_seen IS NOT NULL
  AND ($q IS NULL OR toLower(n.name) CONTAINS $q_lower OR n.key STARTS WITH $q OR n.key CONTAINS ':' + $q)
  AND ($name IS NULL OR n.name = $name)
  AND ($type IS NULL OR $type IN n.types)
  AND (NOT $used OR EXISTS {
    MATCH (n)-[:INPUT|OUTPUT]-(e:Execution)
    WHERE (
        (($pipeline IS NULL OR e.pipeline = $pipeline) AND ($stage IS NULL OR e.stage = $stage)) OR
        any(place IN e.places WHERE
          ($pipeline IS NULL OR place STARTS WITH $pipeline + '\n') AND
          ($stage IS NULL OR place ENDS WITH '\n' + $stage))
      )
      AND ($project IS NULL OR e.project = $project)
  })
RETURN count(n) AS total
