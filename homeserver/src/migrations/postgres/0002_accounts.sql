CREATE TABLE account (
    user_id TEXT PRIMARY KEY,
    password_hash TEXT,
    appservice_id TEXT,
    created_at BIGINT NOT NULL,
    deactivated_at BIGINT,
    displayname TEXT,
    avatar_url TEXT
);

CREATE TABLE device (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    display_name TEXT,
    created_at BIGINT NOT NULL,
    last_seen_at BIGINT,
    PRIMARY KEY (user_id, device_id)
);

CREATE TABLE access_token (
    token_hash BYTEA PRIMARY KEY,
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL
);
CREATE INDEX access_token_device ON access_token (user_id, device_id);

CREATE TABLE account_data (
    user_id TEXT NOT NULL,
    room_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    content TEXT NOT NULL,
    pos BIGINT NOT NULL,
    PRIMARY KEY (user_id, room_id, kind)
);
CREATE INDEX account_data_pos ON account_data (user_id, pos);

CREATE TABLE filter (
    user_id TEXT NOT NULL,
    filter_id TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (user_id, filter_id)
);

CREATE TABLE receipt (
    room_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    thread TEXT NOT NULL,
    event_id TEXT NOT NULL,
    ts BIGINT NOT NULL,
    pos BIGINT NOT NULL,
    PRIMARY KEY (room_id, user_id, kind, thread)
);
CREATE INDEX receipt_pos ON receipt (pos);
CREATE INDEX receipt_room_pos ON receipt (room_id, pos);

CREATE TABLE device_keys (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (user_id, device_id)
);

CREATE TABLE one_time_key (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    key_id TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (user_id, device_id, key_id)
);

CREATE TABLE fallback_key (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    key_id TEXT NOT NULL,
    body TEXT NOT NULL,
    used BIGINT NOT NULL,
    PRIMARY KEY (user_id, device_id, algorithm)
);

CREATE TABLE cross_signing_key (
    user_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (user_id, kind)
);

CREATE TABLE device_list (
    user_id TEXT PRIMARY KEY,
    pos BIGINT NOT NULL
);
CREATE INDEX device_list_pos ON device_list (pos);

CREATE TABLE to_device (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    pos BIGINT NOT NULL,
    number BIGINT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (user_id, device_id, pos, number)
);

CREATE TABLE media (
    media_id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    content_type TEXT,
    filename TEXT,
    size BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE appservice_cursor (
    appservice_id TEXT PRIMARY KEY,
    pos BIGINT NOT NULL,
    epoch TEXT NOT NULL,
    next_txn BIGINT NOT NULL,
    namespaces TEXT NOT NULL
);

CREATE TABLE appservice_txn (
    appservice_id TEXT PRIMARY KEY,
    txn_id TEXT NOT NULL,
    end_pos BIGINT NOT NULL,
    events BIGINT NOT NULL,
    body BYTEA NOT NULL
);

CREATE TABLE appservice_member (
    appservice_id TEXT NOT NULL,
    room_id TEXT NOT NULL,
    who TEXT NOT NULL,
    PRIMARY KEY (appservice_id, room_id, who)
);

CREATE TABLE appservice_refused (
    appservice_id TEXT NOT NULL,
    txn_id TEXT NOT NULL,
    status BIGINT NOT NULL,
    body BYTEA NOT NULL,
    refused_at BIGINT NOT NULL,
    PRIMARY KEY (appservice_id, txn_id)
);
