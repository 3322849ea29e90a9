-- The words of messages, names and topics. The texts themselves are in the events; the row id is the event's number.
CREATE VIRTUAL TABLE search_text USING fts5(words, content = '', tokenize = 'unicode61 remove_diacritics 2');

-- How far the log was read for it.
CREATE TABLE search_cursor (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    pos BIGINT NOT NULL
);
