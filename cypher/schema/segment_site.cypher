// Segments by site
// parameters: none
// returns: none
CREATE INDEX segment_site IF NOT EXISTS FOR (n:Segment) ON (n.site)
