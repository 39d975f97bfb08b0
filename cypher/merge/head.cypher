// How far a segment is
// parameters: id
// returns: sequence, sum, offset
MATCH (s:Segment {id: $id})
RETURN s.sequence AS sequence, s.sum AS sum, s.offset AS offset
