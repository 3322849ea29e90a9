-- The words of messages, names and topics, by the event's number. The texts themselves are in the events.
CREATE TABLE search_text (
    nid   BIGINT   PRIMARY KEY,
    words TSVECTOR NOT NULL
);
CREATE INDEX search_words ON search_text USING gin (words);

-- How far the log was read for it.
CREATE TABLE search_cursor (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    pos BIGINT NOT NULL
);
