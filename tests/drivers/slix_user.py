"""One XMPP user on slixmpp, driven over JSON lines as driven.py tells.

Every stanza that comes in between is written as
{"stanza": {"name", "from", "to", "type", "id", "body", "subject", "codes": [...], "xml"}}.
"""

import asyncio
import logging
import sys
import uuid
import xml.etree.ElementTree as ET
from xml.sax.saxutils import escape, quoteattr

import slixmpp

from driven import Refused, serve, write

logging.disable(logging.CRITICAL)

MUC_USER = "{http://jabber.org/protocol/muc#user}"


class Driver(slixmpp.ClientXMPP):
    def __init__(self, jid, password):
        super().__init__(jid, password, plugin_config={
            "feature_mechanisms": {"unencrypted_plain": True, "unencrypted_scram": True, "unencrypted_digest": True},
            "xep_0077": {"create_account": True},
        })
        self.enable_starttls = False
        self.enable_direct_tls = False
        self.enable_plaintext = True
        self.register_plugin("xep_0077")
        self.register_plugin("xep_0199")
        self["xep_0077"].force_registration = True
        self.answers = {}
        self.joining = {}
        self.started = asyncio.Event()
        self.failed = None
        self.add_event_handler("session_start", self.on_start)
        self.add_event_handler("register", self.on_register)
        self.add_event_handler("failed_all_auth", lambda _: self.fail("no login"))
        self.add_event_handler("disconnected", lambda _: write({"stanza": {"name": "disconnected"}}))
        self.add_filter("in", self.on_stanza)

    def fail(self, why):
        self.failed = why
        self.started.set()

    async def on_register(self, _):
        iq = self.Iq()
        iq["type"] = "set"
        iq["register"]["username"] = self.boundjid.user
        iq["register"]["password"] = self.password
        try:
            await iq.send()
        except slixmpp.exceptions.IqError as error:
            if error.condition != "conflict":
                self.fail(f"no account: {error.condition}")

    def on_start(self, _):
        self.send_presence()
        self.started.set()

    def on_stanza(self, stanza):
        if not isinstance(stanza, (slixmpp.Message, slixmpp.Presence, slixmpp.Iq)):
            return stanza
        xml = stanza.xml
        kind, sender, ident = xml.get("type") or "", xml.get("from") or "", xml.get("id")
        codes = [int(status.get("code")) for status in xml.iter(MUC_USER + "status")]
        ns = xml.tag.split("}")[0] + "}"
        text = lambda name: (xml.find(ns + name).text or "") if xml.find(ns + name) is not None else None
        write({"stanza": {
            "name": stanza.name, "from": sender, "to": xml.get("to") or "", "type": kind, "id": ident or "",
            "body": text("body"), "subject": text("subject"), "codes": codes, "xml": ET.tostring(xml, encoding="unicode"),
        }})
        if stanza.name == "iq" and kind in ("result", "error") and ident in self.answers:
            self.answers.pop(ident).set_result((kind, ET.tostring(xml, encoding="unicode")))
        if stanza.name == "presence" and sender.split("/")[0] in self.joining:
            waiting = self.joining[sender.split("/")[0]]
            if kind == "error" and not waiting.done():
                waiting.set_exception(Refused(ET.tostring(xml, encoding="unicode")))
            elif 110 in codes and kind == "" and not waiting.done():
                waiting.set_result(codes)
        return stanza

    # --- requests

    async def enter(self, host, port):
        self.connect(host, port)
        await asyncio.wait_for(self.started.wait(), 20)
        if self.failed:
            raise Refused(self.failed)
        return {"jid": str(self.boundjid)}

    async def leave_server(self):
        await self.disconnect(wait=1)

    async def join(self, room, nick):
        waiting = self.joining[room] = asyncio.get_running_loop().create_future()
        x = "<x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='0'/></x>"
        self.send_raw(f"<presence to={quoteattr(room + '/' + nick)}>{x}</presence>")
        codes = await asyncio.wait_for(waiting, 20)
        del self.joining[room]
        if 201 in codes:
            form = "<x xmlns='jabber:x:data' type='submit'/>"
            await self.iq(room, f"<query xmlns='http://jabber.org/protocol/muc#owner'>{form}</query>", "set")
        return {"codes": codes}

    async def raw(self, xml):
        self.send_raw(xml)

    async def message(self, to, type, body=None, extra="", id=None):
        ident = id or str(uuid.uuid4())
        inside = f"<body>{escape(body)}</body>" if body is not None else ""
        kind = f" type={quoteattr(type)}" if type else ""
        self.send_raw(f"<message to={quoteattr(to)}{kind} id={quoteattr(ident)}>{inside}{extra}</message>")
        return {"id": ident}

    async def iq(self, to, payload, type="get"):
        ident = str(uuid.uuid4())
        answer = self.answers[ident] = asyncio.get_running_loop().create_future()
        self.send_raw(f"<iq to={quoteattr(to)} type={quoteattr(type)} id={quoteattr(ident)}>{payload}</iq>")
        kind, xml = await asyncio.wait_for(answer, 20)
        if kind == "error":
            raise Refused(xml)
        return {"xml": xml}


async def main():
    driver = Driver(sys.argv[1], sys.argv[2])
    await serve(driver)


asyncio.run(main())
