-- Makes a room forget an occupant without a word to anybody, as a room does whose server lost its state:
-- <message to='room'><forget xmlns='urn:landbridge:tests' nick='somebody'/></message>

local mod_muc = module:depends "muc";

module:hook("message/bare", function (event)
	local forget = event.stanza:get_child("forget", "urn:landbridge:tests");
	if not forget then return end
	local room = mod_muc.get_room_from_jid(event.stanza.attr.to);
	local nick = room.jid .. "/" .. forget.attr.nick;
	local occupant = room:get_occupant_by_nick(nick);
	for real_jid in occupant:each_session() do
		room._jid_nick[real_jid] = nil;
	end
	room._occupants[nick] = nil;
	return true;
end, 100);
