-- What relates to which event: a row for each event with an m.relates_to that names a rel_type.
CREATE TABLE relation (
    room     BIGINT NOT NULL,
    -- The id of the event that is related to; it need not be known here.
    target   TEXT   NOT NULL,
    -- The place in the log of the event that relates.
    position BIGINT NOT NULL,
    child    BIGINT NOT NULL,
    rel_type TEXT   NOT NULL,
    type     TEXT   NOT NULL,
    sender   TEXT   NOT NULL,
    PRIMARY KEY (room, target, position)
) WITHOUT ROWID;
CREATE INDEX relation_type ON relation (room, rel_type, position);

INSERT INTO relation (room, target, position, child, rel_type, type, sender)
SELECT room, json_extract(json, '$.content."m.relates_to".event_id'), position, nid,
       json_extract(json, '$.content."m.relates_to".rel_type'), json_extract(json, '$.type'), json_extract(json, '$.sender')
FROM event
WHERE position IS NOT NULL AND json LIKE '%m.relates_to%'
  AND json_type(json, '$.content."m.relates_to".event_id') = 'text'
  AND json_type(json, '$.content."m.relates_to".rel_type') = 'text';

-- When its sender says that the event was sent.
ALTER TABLE event ADD COLUMN ts BIGINT;
UPDATE event SET ts = json_extract(json, '$.origin_server_ts');
CREATE INDEX event_room_ts ON event (room, ts) WHERE position IS NOT NULL;
