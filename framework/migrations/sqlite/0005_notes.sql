-- What a network notes for itself.
CREATE TABLE note (topic TEXT NOT NULL, name TEXT NOT NULL, text TEXT NOT NULL, at BIGINT NOT NULL, PRIMARY KEY (topic, name))
  WITHOUT ROWID;
CREATE INDEX note_by_age ON note (at);
