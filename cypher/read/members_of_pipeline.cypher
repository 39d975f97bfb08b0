// Executions of pipelines of a name; what is listed under another of the places that it ran in, too
// parameters: pipeline
// returns: key
MATCH (e:Execution {pipeline: $pipeline})
RETURN e.key AS key
UNION
MATCH (p:Pipeline)
USING INDEX p:Pipeline(name, key)
WHERE p.name = $pipeline AND p.key IS NOT NULL
MATCH (p)<-[:RAN_IN]-(e:Execution)
WHERE e.places IS NOT NULL
RETURN e.key AS key
UNION
MATCH (p:Pipeline)
USING INDEX p:Pipeline(name, key)
WHERE p.name = $pipeline AND p.key IS NOT NULL
MATCH (p)-[:HAS_STAGE]->()<-[:RAN_IN]-(e:Execution)
WHERE e.places IS NOT NULL
RETURN e.key AS key
