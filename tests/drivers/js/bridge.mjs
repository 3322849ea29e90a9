// A small bridge on matrix-appservice-bridge: an echo, as drivers/mautrix_bridge.py is one on mautrix.
//
//     node bridge.mjs HOMESERVER DOMAIN PORT AS_TOKEN HS_TOKEN
//
// Its bot accepts invitations and brings @echo_ghost along, who repeats whatever people say; rooms of the aliases #echo_… are made
// when somebody looks for them. What it hears is told as lines on standard output: {"event": …}, {"ready": true}.

import library from "matrix-appservice-bridge";

const { AppServiceRegistration, Bridge, Logger } = library;
Logger.configure({ console: "off" });
const [homeserverUrl, domain, port, asToken, hsToken] = process.argv.slice(2);
const bot = `@echobot:${domain}`;
const ghost = `@echo_ghost:${domain}`;
const tell = (line) => console.log(JSON.stringify(line));

const registration = AppServiceRegistration.fromObject({
    id: "echo",
    url: `http://127.0.0.1:${port}`,
    as_token: asToken,
    hs_token: hsToken,
    sender_localpart: "echobot",
    rate_limited: false,
    namespaces: {
        users: [{ regex: `@echo_.*:${domain}`, exclusive: true }],
        aliases: [{ regex: `#echo_.*:${domain}`, exclusive: true }],
    },
});

async function heard(event) {
    if (event.type === "m.room.member" && event.state_key === bot && event.content.membership === "invite") {
        await bridge.getIntent().join(event.room_id);
        await bridge.getIntent().invite(event.room_id, ghost);
        await bridge.getIntent(ghost).join(event.room_id);
    } else if (event.type === "m.room.message" && event.sender !== bot && event.sender !== ghost) {
        tell({ event: event.content.body });
        await bridge.getIntent(ghost).sendText(event.room_id, `echo: ${event.content.body}`);
    }
}

const bridge = new Bridge({
    homeserverUrl,
    domain,
    registration,
    disableStores: true,
    disableContext: true,
    suppressEcho: false,
    controller: {
        onUserQuery: () => ({}),
        onAliasQuery: (_alias, localpart) => ({
            creationOpts: { preset: "public_chat", room_alias_name: localpart, name: "Made when looked for" },
        }),
        onEvent: (request) => request.outcomeFrom(heard(request.getData())),
    },
});

await bridge.initialise();
await bridge.getIntent(ghost).setDisplayName("Ghost");
const avatar = await bridge.getIntent(ghost).uploadContent(Buffer.from("not really a picture"), { type: "image/png" });
await bridge.getIntent(ghost).setAvatarUrl(avatar);
await bridge.listen(Number(port), "127.0.0.1");
tell({ ready: true });
