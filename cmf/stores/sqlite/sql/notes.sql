-- What is kept for a while beside the graph; see `Transaction.keep`.
CREATE TABLE IF NOT EXISTS note (
    name TEXT PRIMARY KEY,
    content TEXT NOT NULL,
    until TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS note_until ON note (until);
