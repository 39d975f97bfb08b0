-- Walking the data flow. A use is hidden when it, or a node at either end, is retracted; retractions are few,
-- so asking that small table for each step costs next to nothing and nothing has to be kept up to date.
-- The closure carries the id only, so that UNION visits each node once: with the depth in the row it would be
-- quadratic, with UNION ALL it would enumerate paths. A walk with a bound goes frontier by frontier (`step_…`).
-- `:ids` are nodes that are themselves visible.

-- name: closure_upstream
WITH RECURSIVE reached (id) AS (
    SELECT value FROM json_each(:ids)
    UNION
    SELECT u.source FROM reached JOIN use AS u ON u.target = reached.id
    WHERE :include_retracted OR NOT EXISTS (
        SELECT 1 FROM retraction AS r WHERE r.entity IN (u.id, u.source) AND r.reason IS NOT NULL)
)
SELECT e.key, u.kind, s.key, t.key, u.path
FROM reached JOIN use AS u ON u.target = reached.id
JOIN entity AS e ON e.id = u.id JOIN entity AS s ON s.id = u.source JOIN entity AS t ON t.id = u.target
WHERE :include_retracted OR NOT EXISTS (
    SELECT 1 FROM retraction AS r WHERE r.entity IN (u.id, u.source) AND r.reason IS NOT NULL);

-- name: closure_downstream
WITH RECURSIVE reached (id) AS (
    SELECT value FROM json_each(:ids)
    UNION
    SELECT u.target FROM reached JOIN use AS u ON u.source = reached.id
    WHERE :include_retracted OR NOT EXISTS (
        SELECT 1 FROM retraction AS r WHERE r.entity IN (u.id, u.target) AND r.reason IS NOT NULL)
)
SELECT e.key, u.kind, s.key, t.key, u.path
FROM reached JOIN use AS u ON u.source = reached.id
JOIN entity AS e ON e.id = u.id JOIN entity AS s ON s.id = u.source JOIN entity AS t ON t.id = u.target
WHERE :include_retracted OR NOT EXISTS (
    SELECT 1 FROM retraction AS r WHERE r.entity IN (u.id, u.target) AND r.reason IS NOT NULL);

-- name: visible
SELECT value FROM json_each(:ids)
WHERE :include_retracted OR value NOT IN (SELECT entity FROM retraction WHERE reason IS NOT NULL);

-- name: step_upstream
SELECT u.source, e.key, u.kind, s.key, t.key, u.path
FROM json_each(:ids) AS j JOIN use AS u ON u.target = j.value
JOIN entity AS e ON e.id = u.id JOIN entity AS s ON s.id = u.source JOIN entity AS t ON t.id = u.target
WHERE :include_retracted OR NOT EXISTS (
    SELECT 1 FROM retraction AS r WHERE r.entity IN (u.id, u.source) AND r.reason IS NOT NULL);

-- name: step_downstream
SELECT u.target, e.key, u.kind, s.key, t.key, u.path
FROM json_each(:ids) AS j JOIN use AS u ON u.source = j.value
JOIN entity AS e ON e.id = u.id JOIN entity AS s ON s.id = u.source JOIN entity AS t ON t.id = u.target
WHERE :include_retracted OR NOT EXISTS (
    SELECT 1 FROM retraction AS r WHERE r.entity IN (u.id, u.target) AND r.reason IS NOT NULL);
