// Sites by name, with how many segments and records of each are there
// parameters: after, limit
// returns: site, segments, records
MATCH (s:Segment)
WHERE s.site > $after
RETURN s.site AS site, count(s) AS segments, sum(s.sequence) AS records
ORDER BY site
LIMIT $limit
