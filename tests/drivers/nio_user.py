"""One Matrix user on matrix-nio, driven over JSON lines as driven.py tells.

What the sync brings in between is written as
{"event": {...}, "room": "!r:s", "part": "timeline" | "state" | "invite" | "ephemeral" | "left"}.
"""

import asyncio
import io
import logging
import sys
import tempfile
import uuid
from base64 import b64decode

import aiohttp
from nio import AsyncClient, AsyncClientConfig, ReceiptEvent, RoomPreset, TypingNoticeEvent, responses

from driven import Refused, serve, write

logging.disable(logging.CRITICAL)

SYNC_FILTER = {"room": {"timeline": {"limit": 500}}, "presence": {"not_types": ["*"]}}


def ok(response):
    """The response, unless it is an error."""
    if isinstance(response, responses.ErrorResponse):
        raise Refused(f"{response.status_code}: {response.message}")
    return response


class Driver:
    def __init__(self, homeserver, user, encrypts):
        config = AsyncClientConfig(
            max_timeout_retry_wait_time=0.5, backoff_factor=0.05, request_timeout=30, encryption_enabled=encrypts
        )
        self.encrypts = encrypts
        self.store = tempfile.TemporaryDirectory() if encrypts else None
        self.client = AsyncClient(homeserver, user, config=config, store_path=self.store.name if encrypts else "")
        self.syncing = None
        self.synced = asyncio.Event()

    # --- session

    async def register(self, username, password):
        response = ok(await self.client.register(username, password))
        return await self.started(response)

    async def login(self, username, password):
        self.client.user = username
        response = ok(await self.client.login(password))
        return await self.started(response)

    async def started(self, response):
        if self.encrypts:
            self.client.restore_login(response.user_id, response.device_id, response.access_token)
            ok(await self.client.keys_upload())
        self.client.user_id = response.user_id
        self.client.access_token = response.access_token
        self.syncing = asyncio.create_task(self.sync())
        await self.synced.wait()
        return {"user_id": response.user_id, "access_token": response.access_token}

    async def sync(self):
        since = None
        while True:
            try:
                answer = await self.client.sync(
                    timeout=20000 if since else 0, since=since, sync_filter=SYNC_FILTER, set_presence="offline"
                )
            except Exception as error:  # the client library gives up on some broken answers
                write({"sync_error": repr(error)})
                await asyncio.sleep(0.2)
                continue
            if isinstance(answer, responses.ErrorResponse):
                write({"sync_error": f"{answer.status_code}: {answer.message}"})
                await asyncio.sleep(0.2)
                continue
            if self.encrypts:
                await self.look_after_keys()
            await self.report(answer, since)
            since = answer.next_batch
            self.synced.set()

    async def look_after_keys(self):
        """What a client does after each sync so that it can read and write encrypted messages."""
        if self.client.should_upload_keys:
            ok(await self.client.keys_upload())
        if self.client.should_query_keys:
            ok(await self.client.keys_query())
        if self.client.should_claim_keys:
            ok(await self.client.keys_claim(self.client.get_users_for_key_claiming()))
        for answer in await self.client.send_to_device_messages():
            ok(answer)

    async def report(self, answer, since):
        for room, info in answer.rooms.invite.items():
            self.emit(room, "invite", info.invite_state)
        for room, info in answer.rooms.join.items():
            self.emit(room, "state", info.state)
            if info.timeline.limited and since:
                self.emit(room, "timeline", await self.gap(room, info.timeline.prev_batch, since))
            self.emit(room, "timeline", info.timeline.events)
            self.emit(room, "ephemeral", info.ephemeral)
        for room, info in answer.rooms.leave.items():
            self.emit(room, "left", info.timeline.events)

    async def gap(self, room, start, since):
        """What a limited timeline left out, oldest first."""
        found = []
        while start:
            page = await self.client.room_messages(room, start, end=since, limit=500)
            if isinstance(page, responses.ErrorResponse) or not page.chunk:
                break
            found.extend(page.chunk)
            start = page.end
        return list(reversed(found))

    def emit(self, room, part, events):
        for event in events:
            source = getattr(event, "source", None)
            if isinstance(event, TypingNoticeEvent):
                source = {"type": "m.typing", "content": {"user_ids": event.users}}
            elif isinstance(event, ReceiptEvent):
                source = {"type": "m.receipt", "content": {"users": [receipt.user_id for receipt in event.receipts]}}
            elif source is None:
                source = {"type": type(event).__name__, "content": {}}
            write({"event": source, "room": room, "part": part})

    # --- rooms

    async def join(self, room):
        return {"room_id": ok(await self.client.join(room)).room_id}

    async def leave(self, room):
        ok(await self.client.room_leave(room))

    async def create(self, **arguments):
        if "preset" in arguments:
            arguments["preset"] = RoomPreset(arguments["preset"])
        return {"room_id": ok(await self.client.room_create(**arguments)).room_id}

    async def invite(self, room, user):
        ok(await self.client.room_invite(room, user))

    async def kick(self, room, user, reason=None):
        ok(await self.client.room_kick(room, user, reason))

    async def ban(self, room, user, reason=None):
        ok(await self.client.room_ban(room, user, reason))

    async def unban(self, room, user):
        ok(await self.client.room_unban(room, user))

    async def state(self, room, type, content, state_key=""):
        return {"event_id": ok(await self.client.room_put_state(room, type, content, state_key)).event_id}

    async def read_state(self, room, type, state_key=""):
        return {"content": ok(await self.client.room_get_state_event(room, type, state_key)).content}

    async def members(self, room):
        members = ok(await self.client.joined_members(room)).members
        return {"members": {m.user_id: m.display_name for m in members}}

    async def called(self, room):
        return {"name": self.client.rooms[room].display_name}

    async def messages(self, room, limit=100):
        page = ok(await self.client.room_messages(room, limit=limit))
        return {"events": [event.source for event in reversed(page.chunk)]}

    async def all_messages(self, room, limit):
        """The whole room, oldest first, read backward page by page."""
        found, start = [], None
        while True:
            page = ok(await self.client.room_messages(room, start, limit=limit))
            found.extend(event.source for event in page.chunk)
            start = page.end
            if not start:
                return {"events": list(reversed(found))}

    async def resolve(self, alias):
        return {"room_id": ok(await self.client.room_resolve_alias(alias)).room_id}

    # --- messages

    async def send(self, room, content, type="m.room.message", txn=None):
        """Sends, and repeats with the same transaction id until the homeserver has given an answer."""
        txn = txn or str(uuid.uuid4())
        while True:
            try:
                return {"event_id": ok(await self.client.room_send(room, type, content, txn, True)).event_id}
            except Refused as refused:
                # An answer that was cut off in the middle has no errcode.
                if "M_" in str(refused):
                    raise
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.05)

    async def redact(self, room, event, reason=None):
        return {"event_id": ok(await self.client.room_redact(room, event, reason)).event_id}

    async def typing(self, room, typing=True):
        ok(await self.client.room_typing(room, typing))

    async def receipt(self, room, event):
        ok(await self.client.update_receipt_marker(room, event))

    async def upload(self, text, mimetype, filename):
        data = text.encode()
        answer, _ = await self.client.upload(lambda *_: io.BytesIO(data), mimetype, filename, filesize=len(data))
        return {"mxc": ok(answer).content_uri}

    async def download(self, mxc):
        return {"text": ok(await self.client.download(mxc)).body.decode(errors="replace")}

    # --- profile

    async def displayname(self, name):
        ok(await self.client.set_displayname(name))

    async def presence(self, presence, status=None):
        ok(await self.client.set_presence(presence, status))

    async def presence_of(self, user):
        presence = ok(await self.client.get_presence(user))
        return {"presence": presence.presence, "status": presence.status_msg}

    async def picture(self, base64):
        data = b64decode(base64)
        answer, _ = await self.client.upload(lambda *_: io.BytesIO(data), "image/png", "me.png", filesize=len(data))
        ok(await self.client.set_avatar(ok(answer).content_uri))

    async def profile(self, user):
        profile = ok(await self.client.get_profile(user))
        return {"displayname": profile.displayname, "avatar_url": profile.avatar_url}


async def main():
    driver = Driver(sys.argv[1], sys.argv[2], "encrypted" in sys.argv[3:])
    await serve(driver)
    if driver.syncing:
        driver.syncing.cancel()
    await driver.client.close()


asyncio.run(main())
