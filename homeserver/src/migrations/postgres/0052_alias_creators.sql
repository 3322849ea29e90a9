-- Who made how many aliases.
CREATE INDEX room_alias_creator ON room_alias (creator);
