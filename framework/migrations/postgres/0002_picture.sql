-- Pictures of virtual users: each content is stored in Matrix once.
CREATE TABLE picture (hash TEXT PRIMARY KEY, mxc TEXT NOT NULL, at BIGINT NOT NULL);
