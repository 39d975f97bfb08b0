// State how far a segment is
// parameters: id, site, segment, sequence, sum, offset
// returns: none
MERGE (s:Segment {id: $id})
SET s.site = $site, s.segment = $segment, s.sequence = $sequence, s.sum = $sum, s.offset = $offset
