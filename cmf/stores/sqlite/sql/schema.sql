-- The SQLite store. Integer ids inside: half the size of text keys and nearly twice as fast to walk.
-- A row of `entity` is a key that has been named; a row of `context`, `execution`, `artifact` or `use` with
-- its id is the fact that was told of it; without such a row it is a stub. Columns named `body` hold a
-- register's value as JSON, which also breaks the tie of two values with one stamp. Columns named `version` say at
-- which version of the store a row changed last; see `Store.newer`.

CREATE TABLE entity (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    recorded_at TEXT NOT NULL,
    version INTEGER NOT NULL
) STRICT;

CREATE TABLE context (
    id INTEGER PRIMARY KEY REFERENCES entity,
    first TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    parent INTEGER REFERENCES entity,
    namespace TEXT
) STRICT;
CREATE INDEX context_name ON context (kind, name);

CREATE TABLE execution (
    id INTEGER PRIMARY KEY REFERENCES entity,
    first TEXT NOT NULL,
    name TEXT NOT NULL,
    pipeline TEXT,
    stage TEXT,
    type TEXT NOT NULL,
    project TEXT,
    branch TEXT,
    started_at TEXT NOT NULL,
    identity TEXT NOT NULL
) STRICT;
CREATE INDEX execution_started ON execution (started_at);
CREATE INDEX execution_pipeline ON execution (pipeline, stage, started_at);
CREATE INDEX execution_project ON execution (project, branch);

CREATE TABLE ending (
    execution INTEGER PRIMARY KEY REFERENCES entity,
    stamp TEXT NOT NULL,
    body TEXT NOT NULL,
    status TEXT NOT NULL,
    started_at TEXT
) STRICT;

CREATE TABLE artifact (
    id INTEGER PRIMARY KEY REFERENCES entity,
    first TEXT NOT NULL,
    name TEXT NOT NULL,
    size_bytes INTEGER,
    record TEXT,
    sha256 TEXT
) STRICT;
CREATE INDEX artifact_first ON artifact (first);

CREATE TABLE artifact_type (
    artifact INTEGER NOT NULL REFERENCES entity,
    type TEXT NOT NULL,
    PRIMARY KEY (artifact, type)
) STRICT, WITHOUT ROWID;
CREATE INDEX artifact_by_type ON artifact_type (type);

-- A use, drawn along the data: source → target. One covering index for each direction of a walk.
CREATE TABLE use (
    id INTEGER PRIMARY KEY REFERENCES entity,
    first TEXT NOT NULL,
    source INTEGER NOT NULL REFERENCES entity,
    target INTEGER NOT NULL REFERENCES entity,
    kind TEXT NOT NULL,
    path TEXT NOT NULL,
    commit_stamp TEXT,
    commit_body TEXT,
    url_stamp TEXT,
    url_body TEXT
) STRICT;
CREATE INDEX use_downstream ON use (source, target);
CREATE INDEX use_upstream ON use (target, source);
CREATE INDEX use_path ON use (path, first);

CREATE TABLE property (
    entity INTEGER NOT NULL REFERENCES entity,
    name TEXT NOT NULL,
    stamp TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (entity, name)
) STRICT, WITHOUT ROWID;

-- A null reason is a retraction taken back; it still outranks older ones.
CREATE TABLE retraction (
    entity INTEGER PRIMARY KEY REFERENCES entity,
    stamp TEXT NOT NULL,
    body TEXT NOT NULL,
    reason TEXT,
    recorded_at TEXT NOT NULL
) STRICT;

CREATE TABLE relation (
    kind TEXT NOT NULL,
    source INTEGER NOT NULL REFERENCES entity,
    target INTEGER NOT NULL REFERENCES entity,
    first TEXT NOT NULL,
    PRIMARY KEY (source, kind, target)
) STRICT, WITHOUT ROWID;
CREATE INDEX relation_target ON relation (target);

CREATE TABLE points (
    execution INTEGER NOT NULL REFERENCES entity,
    series TEXT NOT NULL,
    chunk INTEGER NOT NULL,
    stamp TEXT NOT NULL,
    rows TEXT NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (execution, series, chunk)
) STRICT, WITHOUT ROWID;

-- How far each journal is in this store.
CREATE TABLE segment (
    site TEXT NOT NULL,
    segment TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    sum TEXT NOT NULL,
    offset INTEGER NOT NULL,
    PRIMARY KEY (site, segment)
) STRICT, WITHOUT ROWID;

-- One row: when something was last merged, the greatest time of any statement in the store, which store it is,
-- and its version.
CREATE TABLE progress (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    last_merge TEXT,
    greatest_time TEXT,
    store TEXT NOT NULL,
    version INTEGER NOT NULL
) STRICT;
INSERT INTO progress (one, store, version) VALUES (1, lower(hex(randomblob(16))), 0);
