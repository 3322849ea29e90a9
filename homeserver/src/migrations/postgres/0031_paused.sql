-- Application services to which an operator lets nothing be delivered for now.
CREATE TABLE appservice_paused (
    appservice_id TEXT PRIMARY KEY,
    paused_at     BIGINT NOT NULL
);
