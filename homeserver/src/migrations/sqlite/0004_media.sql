ALTER TABLE media ADD COLUMN last_access_at BIGINT;
ALTER TABLE media ADD COLUMN quarantined_at BIGINT;
ALTER TABLE media ADD COLUMN pending_until BIGINT;
CREATE INDEX media_owner ON media (owner, created_at);
CREATE INDEX media_created ON media (created_at);

CREATE TABLE media_thumbnail (
    media_id TEXT NOT NULL,
    width BIGINT NOT NULL,
    height BIGINT NOT NULL,
    method TEXT NOT NULL,
    content_type TEXT NOT NULL,
    size BIGINT NOT NULL,
    PRIMARY KEY (media_id, width, height, method)
) WITHOUT ROWID;

CREATE TABLE appservice_registration (
    appservice_id TEXT PRIMARY KEY,
    body TEXT NOT NULL,
    added_at BIGINT NOT NULL
) WITHOUT ROWID;
