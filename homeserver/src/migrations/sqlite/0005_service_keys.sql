CREATE TABLE key_count (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    pos BIGINT NOT NULL,
    PRIMARY KEY (user_id, device_id)
) WITHOUT ROWID;
CREATE INDEX key_count_pos ON key_count (pos);

ALTER TABLE appservice_txn ADD COLUMN to_device_pos BIGINT NOT NULL DEFAULT 0;
ALTER TABLE appservice_txn ADD COLUMN to_device_number BIGINT NOT NULL DEFAULT 0;
ALTER TABLE appservice_txn ADD COLUMN to_device BIGINT NOT NULL DEFAULT 0;
