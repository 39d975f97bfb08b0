-- Reading. `:ids` and `:keys` are JSON lists.

-- name: entities
SELECT id, key, recorded_at FROM entity WHERE key IN (SELECT value FROM json_each(:keys));

-- name: every_entity
SELECT id, key, recorded_at FROM entity;

-- name: keys_between
SELECT key FROM entity WHERE key >= :first AND key < :last AND NOT (key >= 'use:' AND key < 'use;')
ORDER BY key LIMIT :limit;

-- name: contexts
SELECT e.key, c.first, c.kind, c.name, p.key, c.namespace
FROM json_each(:ids) AS j JOIN context AS c ON c.id = j.value JOIN entity AS e ON e.id = c.id
LEFT JOIN entity AS p ON p.id = c.parent;

-- name: executions
SELECT e.key, x.first, x.identity
FROM json_each(:ids) AS j JOIN execution AS x ON x.id = j.value JOIN entity AS e ON e.id = x.id;

-- name: places
-- Where executions ran whose own record does not say it, with what is told of the stage and of its pipeline.
SELECT x.key, r.first, s.key, c.first, c.kind, c.name, c.namespace, p.key, o.first, o.name, o.namespace
FROM json_each(:ids) AS j JOIN execution AS f ON f.id = j.value AND f.identity LIKE '{"rule":"foreign/%'
JOIN entity AS x ON x.id = f.id JOIN relation AS r ON r.source = f.id AND r.kind = 'ran_in'
JOIN context AS c ON c.id = r.target JOIN entity AS s ON s.id = c.id
LEFT JOIN entity AS p ON p.id = c.parent LEFT JOIN context AS o ON o.id = c.parent;

-- name: endings
SELECT e.key, d.stamp, d.body, d.started_at
FROM json_each(:ids) AS j JOIN ending AS d ON d.execution = j.value JOIN entity AS e ON e.id = d.execution;

-- name: artifacts
SELECT e.key, a.first, a.name, a.size_bytes, a.record, a.sha256,
    (SELECT json_group_array(t.type) FROM artifact_type AS t WHERE t.artifact = a.id)
FROM json_each(:ids) AS j JOIN artifact AS a ON a.id = j.value JOIN entity AS e ON e.id = a.id;

-- name: properties
SELECT e.key, p.name, p.stamp, p.value
FROM json_each(:ids) AS j JOIN property AS p ON p.entity = j.value JOIN entity AS e ON e.id = p.entity;

-- name: retractions
SELECT e.key, r.stamp, r.body
FROM json_each(:ids) AS j JOIN retraction AS r ON r.entity = j.value JOIN entity AS e ON e.id = r.entity;

-- name: relations
SELECT r.kind, s.key, t.key, r.first
FROM json_each(:ids) AS j JOIN relation AS r ON r.source = j.value
JOIN entity AS s ON s.id = r.source JOIN entity AS t ON t.id = r.target;

-- name: relations_to
SELECT r.kind, s.key, t.key, r.first
FROM json_each(:ids) AS j JOIN relation AS r ON r.target = j.value
JOIN entity AS s ON s.id = r.source JOIN entity AS t ON t.id = r.target;

-- name: points
SELECT e.key, p.series, p.chunk, p.stamp, p.rows
FROM json_each(:ids) AS j JOIN points AS p ON p.execution = j.value JOIN entity AS e ON e.id = p.execution
WHERE p.version > :after;

-- name: newer
SELECT e.key FROM json_each(:keys) AS j JOIN entity AS e ON e.key = j.value WHERE e.version > :after;

-- name: version
SELECT store, version FROM progress;

-- name: points_of_series
SELECT p.chunk, p.rows
FROM entity AS e JOIN points AS p ON p.execution = e.id
WHERE e.key = :execution AND p.series = :series AND p.chunk > :after ORDER BY p.chunk LIMIT :limit;

-- name: series
SELECT DISTINCT e.key, p.series
FROM json_each(:ids) AS j JOIN points AS p ON p.execution = j.value JOIN entity AS e ON e.id = p.execution;

-- name: use_ids_of_executions
SELECT u.id FROM json_each(:ids) AS j JOIN use AS u ON u.target = j.value AND u.kind = 'input'
UNION ALL
SELECT u.id FROM json_each(:ids) AS j JOIN use AS u ON u.source = j.value AND u.kind = 'output';

-- name: use_ids_of_node
SELECT id, kind, path FROM use WHERE source = :id UNION ALL SELECT id, kind, path FROM use WHERE target = :id
ORDER BY kind, path, id LIMIT :limit;

-- name: count_uses_of_node
SELECT (SELECT count(*) FROM use WHERE source = :id) + (SELECT count(*) FROM use WHERE target = :id);

-- name: uses
SELECT e.key, u.first, u.kind, s.key, t.key, u.path, u.commit_stamp, u.commit_body, u.url_stamp, u.url_body
FROM json_each(:ids) AS j JOIN use AS u ON u.id = j.value JOIN entity AS e ON e.id = u.id
JOIN entity AS s ON s.id = u.source JOIN entity AS t ON t.id = u.target;

-- name: at_path
SELECT CASE u.kind WHEN 'input' THEN s.key ELSE t.key END
FROM use AS u JOIN entity AS s ON s.id = u.source JOIN entity AS t ON t.id = u.target
WHERE u.path = :path ORDER BY u.first DESC, 1 DESC LIMIT 1;

-- name: heads
SELECT segment, sequence, sum, offset FROM segment WHERE site = :site;

-- name: every_head
SELECT site, segment, sequence, sum, offset FROM segment
WHERE (site, segment) > (:site, :segment) ORDER BY site, segment LIMIT :limit;

-- name: awaited_uses
SELECT e.key FROM entity AS e LEFT JOIN use AS u ON u.id = e.id
WHERE e.key > max(:after, 'use:') AND e.key < 'use;' AND u.id IS NULL ORDER BY e.key LIMIT :limit;
-- name: sites
SELECT site, count(*), sum(sequence) FROM segment WHERE site > :after GROUP BY site ORDER BY site LIMIT :limit;

-- name: executions_of_project
SELECT e.key FROM execution AS x JOIN entity AS e ON e.id = x.id
WHERE x.project = :project AND (:branch IS NULL OR x.branch = :branch);

-- name: executions_of_pipeline
SELECT e.key FROM execution AS x JOIN entity AS e ON e.id = x.id WHERE x.pipeline = :pipeline
UNION
SELECT e.key FROM context AS p JOIN context AS s ON p.id IN (s.id, s.parent)
JOIN relation AS r ON r.target = s.id AND r.kind = 'ran_in'
JOIN execution AS x ON x.id = r.source AND x.identity LIKE '{"rule":"foreign/%' JOIN entity AS e ON e.id = x.id
WHERE p.kind = 'pipeline' AND p.name = :pipeline;

-- name: count_kinds
SELECT 'artifact', count(*) FROM artifact UNION ALL SELECT 'execution', count(*) FROM execution
UNION ALL SELECT 'use', count(*) FROM use
UNION ALL SELECT 'pipeline', count(*) FROM context WHERE kind = 'pipeline'
UNION ALL SELECT 'stage', count(*) FROM context WHERE kind = 'stage';

-- name: count_types
SELECT type, count(*) FROM artifact_type GROUP BY type ORDER BY type;

-- name: count_sites
SELECT count(DISTINCT site) FROM segment;

-- name: progress
SELECT last_merge, greatest_time FROM progress;
