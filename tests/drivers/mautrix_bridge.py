"""A small bridge on the mautrix library: an echo, to see a homeserver as a foreign bridge does.

    mautrix_bridge.py HOMESERVER DOMAIN PORT AS_TOKEN HS_TOKEN

Its bot @echobot accepts invitations and brings @echo_ghost along, who repeats whatever people say. Each transaction's parts
are told as lines on standard output: {"to_device": …}, {"counts": …}, {"event": …}, {"ephemeral": …}, {"ready": true}. Told to
"backfill", it fills the room up in batches under names of its own: {"named": […]}, twice, once for each direction.
"""

import asyncio
import json
import sys

from mautrix.appservice import AppService, ASStateStore
from mautrix.client.state_store.memory import MemoryStateStore
from mautrix.types import BatchSendEvent, EventType, Membership, MessageType, TextMessageEventContent


class Store(ASStateStore, MemoryStateStore):
    """Everything in memory."""

    def __init__(self):
        ASStateStore.__init__(self)
        MemoryStateStore.__init__(self)


def tell(line):
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


async def main():
    homeserver, domain, port, as_token, hs_token = sys.argv[1:6]
    bridge = AppService(
        server=homeserver,
        domain=domain,
        as_token=as_token,
        hs_token=hs_token,
        bot_localpart="echobot",
        id="echo",
        state_store=Store(),
        ephemeral_events=True,
        encryption_events=True,
    )

    async def to_device(event):
        tell({"to_device": event.serialize()})

    async def counts(counts):
        tell({"counts": {user: {device: count.signed_curve25519 for device, count in of.items()} for user, of in counts.items()}})

    bridge.to_device_handler = to_device
    bridge.otk_handler = counts
    await bridge.start("127.0.0.1", int(port))
    bot = bridge.intent
    ghost = bot.user(f"@echo_ghost:{domain}")

    async def backfill(room, numbers, **how):
        def said(number):
            content = TextMessageEventContent(msgtype=MessageType.TEXT, body=f"old {number}")
            if number > 1:
                content.set_reply(f"$old{number - 1}:echo")
            return BatchSendEvent(
                type=EventType.ROOM_MESSAGE,
                sender=(bot if number % 2 else ghost).mxid,
                timestamp=1_000_000_000_000 + number,
                content=content,
                event_id=f"$old{number}:echo",
            )

        sent = await bot.beeper_batch_send(room, [said(number) for number in numbers], **how)
        tell({"named": [str(event_id) for event_id in sent.event_ids]})

    @bridge.matrix_event_handler
    async def on_event(event):
        if event.type.is_ephemeral:
            tell({"ephemeral": event.type.t})
            return
        if event.type == EventType.ROOM_MEMBER and event.state_key == bot.mxid and event.content.membership == Membership.INVITE:
            await bot.join_room(event.room_id)
            await bot.invite_user(event.room_id, ghost.mxid)
            await ghost.ensure_joined(event.room_id)
            return
        if event.type == EventType.ROOM_MESSAGE and event.sender not in (bot.mxid, ghost.mxid):
            if event.content.body == "backfill":
                await backfill(event.room_id, [6, 7], forward=True)
                await backfill(event.room_id, [3, 4, 5])
                await backfill(event.room_id, [1, 2])
                return
            tell({"event": event.content.body, "reply_to": event.content.get_reply_to()})
            content = TextMessageEventContent(msgtype=MessageType.TEXT, body=f"echo: {event.content.body}")
            await ghost.send_message(event.room_id, content)

    await bot.ensure_registered()
    await bot.set_displayname("Echo bridge")
    await ghost.ensure_registered()
    await ghost.set_displayname("Ghost")
    await ghost.set_avatar_url(await bot.upload_media(b"not really a picture", mime_type="image/png"))
    await bot.whoami()
    tell({"ready": True})
    await asyncio.Event().wait()


asyncio.run(main())
