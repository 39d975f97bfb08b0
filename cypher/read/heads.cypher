// How far the segments of a site are
// parameters: site
// returns: segment, sequence, sum, offset
MATCH (s:Segment {site: $site})
RETURN s.segment AS segment, s.sequence AS sequence, s.sum AS sum, s.offset AS offset
