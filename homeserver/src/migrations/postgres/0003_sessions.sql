ALTER TABLE account ADD COLUMN role TEXT;
ALTER TABLE account ADD COLUMN locked_at BIGINT;
ALTER TABLE account ADD COLUMN suspended_at BIGINT;
ALTER TABLE account ADD COLUMN erased_at BIGINT;

ALTER TABLE access_token ADD COLUMN expires_at BIGINT;
ALTER TABLE access_token ADD COLUMN generation BIGINT NOT NULL DEFAULT 0;

CREATE TABLE refresh_token (
    token_hash BYTEA PRIMARY KEY,
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    generation BIGINT NOT NULL
);
CREATE INDEX refresh_token_device ON refresh_token (user_id, device_id);

CREATE TABLE registration_token (
    token TEXT PRIMARY KEY,
    uses_allowed BIGINT,
    completed BIGINT NOT NULL,
    expires_at BIGINT,
    created_at BIGINT NOT NULL
);

CREATE TABLE openid_token (
    token_hash BYTEA PRIMARY KEY,
    user_id TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX openid_token_expires ON openid_token (expires_at);

CREATE TABLE to_device_txn (
    txn_key BYTEA PRIMARY KEY,
    seen_at BIGINT NOT NULL
);
CREATE INDEX to_device_txn_seen ON to_device_txn (seen_at);

ALTER TABLE to_device ADD COLUMN appservice_id TEXT;
CREATE INDEX to_device_appservice ON to_device (appservice_id, pos, number);

CREATE TABLE key_backup (
    user_id TEXT NOT NULL,
    version BIGINT NOT NULL,
    algorithm TEXT NOT NULL,
    auth_data TEXT NOT NULL,
    etag BIGINT NOT NULL,
    deleted_at BIGINT,
    PRIMARY KEY (user_id, version)
);

CREATE TABLE key_backup_session (
    user_id TEXT NOT NULL,
    version BIGINT NOT NULL,
    room_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    first_message_index BIGINT NOT NULL,
    forwarded_count BIGINT NOT NULL,
    is_verified BIGINT NOT NULL,
    session_data TEXT NOT NULL,
    PRIMARY KEY (user_id, version, room_id, session_id)
);
