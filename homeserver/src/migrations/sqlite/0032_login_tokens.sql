-- Tokens that let one client in for another: each counts once, and for two minutes.
CREATE TABLE login_token (
    token_hash BLOB PRIMARY KEY,
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    expires_at BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX login_token_device ON login_token (user_id, device_id);
CREATE INDEX login_token_expires ON login_token (expires_at);
