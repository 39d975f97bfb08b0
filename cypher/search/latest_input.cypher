// The input last told of under a path
// parameters: path, long_path
// returns: first, key
MATCH (a)-[u:INPUT]->()
WHERE u.path = $path AND u.first > '' AND ($long_path IS NULL OR u.long_path = $long_path)
RETURN u.first AS first, a.key AS key
ORDER BY u.path DESC, u.first DESC, a.key DESC
LIMIT 1
