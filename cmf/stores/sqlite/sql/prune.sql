-- Taking nodes away for good; see cmf/core/pruning.py. `:ids` and `:keys` are JSON lists.

-- name: table
-- What was pruned and stays away. `aside` is what was told of an artifact, should it be used again.
CREATE TABLE IF NOT EXISTS pruned (
    key TEXT PRIMARY KEY,
    at TEXT NOT NULL,
    aside TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- name: any
SELECT EXISTS (SELECT 1 FROM pruned);

-- name: found
SELECT p.key, p.at, p.aside FROM json_each(:keys) AS j JOIN pruned AS p ON p.key = j.value;

-- name: between
SELECT key, at, aside FROM pruned WHERE key >= :first AND key < :last ORDER BY key LIMIT :limit;

-- name: count
SELECT count(*) FROM pruned WHERE NOT (key >= 'use:' AND key < 'use;');

-- name: bury
INSERT INTO pruned (key, at, aside) VALUES (?, ?, ?)
ON CONFLICT (key) DO UPDATE SET aside = excluded.aside WHERE excluded.aside != '';

-- name: back
DELETE FROM pruned WHERE key IN (SELECT value FROM json_each(:keys));

-- name: uses
-- The uses of executions.
SELECT e.key, u.id FROM json_each(:ids) AS j JOIN use AS u ON u.target = j.value AND u.kind = 'input'
JOIN entity AS e ON e.id = u.id
UNION ALL
SELECT e.key, u.id FROM json_each(:ids) AS j JOIN use AS u ON u.source = j.value AND u.kind = 'output'
JOIN entity AS e ON e.id = u.id;

-- name: used
-- Those of these that have any use.
SELECT value FROM json_each(:ids) WHERE EXISTS (SELECT 1 FROM use WHERE source = value)
    OR EXISTS (SELECT 1 FROM use WHERE target = value);

-- name: take_property
DELETE FROM property WHERE entity IN (SELECT value FROM json_each(:ids));

-- name: take_retraction
DELETE FROM retraction WHERE entity IN (SELECT value FROM json_each(:ids));

-- name: take_relation
DELETE FROM relation WHERE source IN (SELECT value FROM json_each(:ids));

-- name: take_relation_to
DELETE FROM relation WHERE target IN (SELECT value FROM json_each(:ids));

-- name: take_points
DELETE FROM points WHERE execution IN (SELECT value FROM json_each(:ids));

-- name: take_ending
DELETE FROM ending WHERE execution IN (SELECT value FROM json_each(:ids));

-- name: take_execution
DELETE FROM execution WHERE id IN (SELECT value FROM json_each(:ids));

-- name: take_artifact_type
DELETE FROM artifact_type WHERE artifact IN (SELECT value FROM json_each(:ids));

-- name: take_artifact
DELETE FROM artifact WHERE id IN (SELECT value FROM json_each(:ids));

-- name: take_use
DELETE FROM use WHERE id IN (SELECT value FROM json_each(:ids));

-- name: take_entity
DELETE FROM entity WHERE id IN (SELECT value FROM json_each(:ids));
