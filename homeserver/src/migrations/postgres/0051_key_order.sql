-- One-time keys are given out in the order in which they were uploaded: where the log stood then. Those from before come first.
ALTER TABLE one_time_key ADD COLUMN pos BIGINT NOT NULL DEFAULT 0;
CREATE INDEX one_time_key_order ON one_time_key (user_id, device_id, algorithm, pos, key_id);
