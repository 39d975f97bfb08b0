// Executions of a project, on a branch or on any
// parameters: project, branch
// returns: key
MATCH (e:Execution {project: $project})
WHERE $branch IS NULL OR e.branch = $branch
RETURN e.key AS key
