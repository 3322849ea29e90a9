-- Whether a file is given out at the old endpoints, which ask for no token: those are that were here before these were closed to new ones.
ALTER TABLE media ADD COLUMN open BIGINT NOT NULL DEFAULT 0;
UPDATE media SET open = 1 WHERE pending_until IS NULL;
