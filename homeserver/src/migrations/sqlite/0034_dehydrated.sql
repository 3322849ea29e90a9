-- For each user at most one device that nobody is logged in on: it hears what is meant for the user's next one.
CREATE TABLE dehydrated_device (
    user_id TEXT PRIMARY KEY,
    device_id TEXT NOT NULL,
    data TEXT NOT NULL
) WITHOUT ROWID;
