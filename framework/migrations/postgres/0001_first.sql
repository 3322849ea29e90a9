-- What was heard before: transactions, events and remote messages, each under a key that says which it is.
CREATE TABLE seen (mark TEXT PRIMARY KEY, at BIGINT NOT NULL);
CREATE INDEX seen_by_age ON seen (at);
-- How far each numbered stream of a network was heard.
CREATE TABLE cursor (stream TEXT PRIMARY KEY, position BIGINT NOT NULL);
-- Heard, not yet converted.
CREATE TABLE inbox (
  seq BIGINT PRIMARY KEY, lane TEXT NOT NULL, origin TEXT NOT NULL, session TEXT, mark TEXT NOT NULL, body TEXT NOT NULL,
  at BIGINT NOT NULL
);
CREATE INDEX inbox_by_lane ON inbox (lane, seq);
-- Decided, not yet delivered.
CREATE TABLE outbox (
  seq BIGINT PRIMARY KEY, lane TEXT NOT NULL, direction TEXT NOT NULL, session TEXT NOT NULL, idem TEXT NOT NULL UNIQUE,
  room_id TEXT NOT NULL, op TEXT NOT NULL, source TEXT, memory TEXT, state BIGINT NOT NULL, attempts BIGINT NOT NULL,
  last_error TEXT, at BIGINT NOT NULL
);
CREATE INDEX outbox_by_lane ON outbox (direction, lane, seq);
-- Which event is which message.
CREATE TABLE message (
  event_id TEXT NOT NULL, part BIGINT NOT NULL, room_id TEXT NOT NULL, remote_id TEXT, author TEXT, author_name TEXT NOT NULL,
  sender TEXT NOT NULL, excerpt TEXT, reaction TEXT, target TEXT, at BIGINT NOT NULL, PRIMARY KEY (event_id, part)
);
CREATE INDEX message_by_remote_id ON message (room_id, remote_id) WHERE remote_id IS NOT NULL;
CREATE INDEX message_by_target ON message (target) WHERE target IS NOT NULL;
CREATE INDEX message_by_age ON message (at);
-- Which Matrix room is which remote room.
CREATE TABLE room_mapping (room_id TEXT PRIMARY KEY, remote TEXT NOT NULL, kind TEXT NOT NULL, owner TEXT, at BIGINT NOT NULL);
-- Virtual users that are registered, and the profile they were given.
CREATE TABLE virtual_user (remote TEXT PRIMARY KEY, name TEXT, avatar TEXT);
-- What virtual users should be in rooms, and what they are.
CREATE TABLE member (
  room_id TEXT NOT NULL, remote TEXT NOT NULL, name TEXT NOT NULL, wanted TEXT NOT NULL, reason TEXT, actual TEXT NOT NULL,
  PRIMARY KEY (room_id, remote)
);
-- What could not be delivered.
CREATE TABLE dead_letter (
  number BIGINT PRIMARY KEY, lane TEXT NOT NULL, direction TEXT NOT NULL, stage TEXT NOT NULL, input TEXT NOT NULL,
  error TEXT NOT NULL, attempts BIGINT NOT NULL, at BIGINT NOT NULL, retry BIGINT NOT NULL
);
-- What takes several steps and must be finished after a restart.
CREATE TABLE job (name TEXT PRIMARY KEY, data TEXT NOT NULL, at BIGINT NOT NULL);
