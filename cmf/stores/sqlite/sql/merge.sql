-- Joining a delta into the store; see cmf/core/delta.py for what each fact's join is.

-- name: entities
INSERT OR IGNORE INTO entity (key, recorded_at, version) SELECT value, :recorded_at, :version FROM json_each(:keys);

-- name: last_entity
SELECT max(id) FROM entity;

-- name: ids
-- The ids of these keys, as one object of JSON.
SELECT json_group_object(key, id) FROM entity WHERE key IN (SELECT value FROM json_each(:keys));

-- name: context
INSERT INTO context (id, first, kind, name, parent, namespace) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET first = excluded.first WHERE excluded.first < first;

-- name: execution
INSERT INTO execution (id, first, name, pipeline, stage, type, project, branch, started_at, identity)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET first = excluded.first WHERE excluded.first < first;

-- name: artifact
INSERT INTO artifact (id, first, name, size_bytes, record, sha256) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET
    name = CASE WHEN (excluded.first, excluded.name) < (first, name) THEN excluded.name ELSE name END,
    first = min(first, excluded.first),
    size_bytes = max(coalesce(size_bytes, excluded.size_bytes), coalesce(excluded.size_bytes, size_bytes)),
    record = coalesce(record, excluded.record),
    sha256 = max(coalesce(sha256, excluded.sha256), coalesce(excluded.sha256, sha256))
WHERE (excluded.first, excluded.name) < (first, name) OR (record IS NULL AND excluded.record IS NOT NULL)
    OR coalesce(excluded.size_bytes, -1) > coalesce(size_bytes, -1) OR coalesce(excluded.sha256, '') > coalesce(sha256, '');

-- name: artifact_type
INSERT OR IGNORE INTO artifact_type (artifact, type) VALUES (?, ?);

-- name: use
INSERT INTO use (id, first, source, target, kind, path, commit_stamp, commit_body, url_stamp, url_body)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET
    first = min(first, excluded.first),
    commit_body = CASE WHEN excluded.commit_stamp IS NOT NULL AND (commit_stamp IS NULL OR
        (excluded.commit_stamp, excluded.commit_body) > (commit_stamp, commit_body))
        THEN excluded.commit_body ELSE commit_body END,
    commit_stamp = max(coalesce(commit_stamp, excluded.commit_stamp), coalesce(excluded.commit_stamp, commit_stamp)),
    url_body = CASE WHEN excluded.url_stamp IS NOT NULL AND (url_stamp IS NULL OR
        (excluded.url_stamp, excluded.url_body) > (url_stamp, url_body))
        THEN excluded.url_body ELSE url_body END,
    url_stamp = max(coalesce(url_stamp, excluded.url_stamp), coalesce(excluded.url_stamp, url_stamp))
WHERE excluded.first < first
    OR (excluded.commit_stamp IS NOT NULL AND (commit_stamp IS NULL OR
        (excluded.commit_stamp, excluded.commit_body) > (commit_stamp, commit_body)))
    OR (excluded.url_stamp IS NOT NULL AND (url_stamp IS NULL OR
        (excluded.url_stamp, excluded.url_body) > (url_stamp, url_body)));

-- name: ending
INSERT INTO ending (execution, stamp, body, status, started_at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (execution) DO UPDATE SET
    body = CASE WHEN (excluded.stamp, excluded.body) > (stamp, body) THEN excluded.body ELSE body END,
    status = CASE WHEN (excluded.stamp, excluded.body) > (stamp, body) THEN excluded.status ELSE status END,
    stamp = max(stamp, excluded.stamp),
    started_at = min(coalesce(started_at, excluded.started_at), coalesce(excluded.started_at, started_at))
WHERE (excluded.stamp, excluded.body) > (stamp, body)
    OR coalesce(excluded.started_at, '~') < coalesce(started_at, '~');

-- name: untold_contexts
-- Those of these that nothing was told of yet.
SELECT value FROM json_each(:ids) WHERE value NOT IN (SELECT id FROM context);

-- name: stated
-- The executions whose own record does not say what they are listed under: among these, and those that ran in
-- these contexts or in stages of them.
WITH place (id) AS (
    SELECT value FROM json_each(:contexts)
    UNION SELECT id FROM context WHERE parent IN (SELECT value FROM json_each(:contexts))
), touched (id) AS (
    SELECT value FROM json_each(:ids)
    UNION SELECT r.source FROM place JOIN relation AS r ON r.target = place.id AND r.kind = 'ran_in'
)
SELECT e.key, e.id FROM touched JOIN execution AS x ON x.id = touched.id JOIN entity AS e ON e.id = x.id
WHERE x.identity NOT LIKE '{"rule":"run/%';

-- name: listed
UPDATE execution SET name = ?1, pipeline = ?2, stage = ?3, type = ?4, project = ?5, branch = ?6, started_at = ?7
WHERE id = ?8
    AND (name, pipeline, stage, type, project, branch, started_at) IS NOT (?1, ?2, ?3, ?4, ?5, ?6, ?7);

-- name: membership
SELECT pipeline, project, branch FROM execution WHERE id = ?;

-- name: ran_in
-- The executions that ran in these contexts or in stages of them, by what was said of them.
SELECT r.source FROM (
    SELECT value AS id FROM json_each(:contexts)
    UNION SELECT id FROM context WHERE parent IN (SELECT value FROM json_each(:contexts))
) AS place JOIN relation AS r ON r.target = place.id AND r.kind = 'ran_in';

-- name: executions_of_uses
SELECT id, CASE kind WHEN 'input' THEN target ELSE source END FROM use
WHERE id IN (SELECT value FROM json_each(:ids));

-- name: changed
UPDATE entity SET version = :version WHERE id IN (SELECT value FROM json_each(:ids));

-- name: uses_moved
UPDATE entity SET version = :version WHERE id IN (
    SELECT u.id FROM json_each(:ids) AS j JOIN use AS u ON u.target = j.value AND u.kind = 'input'
    UNION ALL
    SELECT u.id FROM json_each(:ids) AS j JOIN use AS u ON u.source = j.value AND u.kind = 'output');

-- name: points_moved
UPDATE points SET version = :version WHERE execution IN (SELECT value FROM json_each(:ids));

-- name: next_version
UPDATE progress SET version = max(version + 1, ?) RETURNING version;

-- name: property
INSERT INTO property (entity, name, stamp, value) VALUES (?, ?, ?, ?)
ON CONFLICT (entity, name) DO UPDATE SET stamp = excluded.stamp, value = excluded.value
WHERE (excluded.stamp, excluded.value) > (stamp, value);

-- name: retraction
INSERT INTO retraction (entity, stamp, body, reason, recorded_at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (entity) DO UPDATE SET
    stamp = excluded.stamp, body = excluded.body, reason = excluded.reason, recorded_at = excluded.recorded_at
WHERE (excluded.stamp, excluded.body) > (stamp, body);

-- name: relation
INSERT INTO relation (kind, source, target, first) VALUES (?, ?, ?, ?)
ON CONFLICT (source, kind, target) DO UPDATE SET first = excluded.first WHERE excluded.first < first;

-- name: points
INSERT INTO points (execution, series, chunk, stamp, rows, version) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (execution, series, chunk) DO UPDATE SET
    stamp = excluded.stamp, rows = excluded.rows, version = excluded.version
WHERE (excluded.stamp, excluded.rows) > (stamp, rows);

-- name: head
SELECT sequence, sum, offset FROM segment WHERE site = ? AND segment = ?;

-- name: advance
INSERT INTO segment (site, segment, sequence, sum, offset) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (site, segment) DO UPDATE SET
    sequence = excluded.sequence, sum = excluded.sum, offset = excluded.offset;

-- name: progress
UPDATE progress SET last_merge = ?, greatest_time = max(coalesce(greatest_time, ''), ?);

-- name: kept
SELECT content FROM note WHERE name = ? AND until > ?;

-- name: keep
INSERT INTO note (name, content, until) VALUES (?, ?, ?)
ON CONFLICT (name) DO UPDATE SET content = excluded.content, until = excluded.until;

-- name: forget_kept
DELETE FROM note WHERE name IN (SELECT name FROM note WHERE until <= ? ORDER BY until LIMIT 100);
