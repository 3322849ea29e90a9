-- What users say of themselves beside their name and avatar; values are JSON.
CREATE TABLE profile_field (
    user_id TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (user_id, name)
) WITHOUT ROWID;
