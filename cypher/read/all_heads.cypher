// How far every segment is, a page at a time by the segments' ids
// parameters: after, limit
// returns: site, segment, sequence, sum, offset
MATCH (s:Segment)
WHERE s.id > $after
RETURN s.site AS site, s.segment AS segment, s.sequence AS sequence, s.sum AS sum, s.offset AS offset
ORDER BY s.id
LIMIT $limit
