// The runs with the best accuracy, and what they were run with
// parameters: none
// returns: run, stage, accuracy, parameters, started_at
MATCH (run:Execution)-[:OUTPUT]->(metrics:Metrics)
WHERE metrics.metric_accuracy IS NOT NULL AND run.retracted IS NULL
RETURN
  run.key AS run,
  run.stage AS stage,
  metrics.metric_accuracy AS accuracy,
  [name IN keys(run) WHERE name STARTS WITH 'parameter_' | name + '=' + toString(run[name])] AS parameters,
  run.started_at AS started_at
ORDER BY accuracy DESC
LIMIT 25
