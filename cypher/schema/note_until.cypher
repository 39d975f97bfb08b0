// Notes by when their time is over
// parameters: none
// returns: none
CREATE INDEX note_until IF NOT EXISTS FOR (n:Note) ON (n.until)
