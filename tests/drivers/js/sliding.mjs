// What somebody does on simplified sliding sync (MSC4186), as matrix-js-sdk speaks it, while another syncs as of old, both with the
// library's own cryptography: `node sliding.mjs HOMESERVER`. Ends with 0 when all of it went as it should.

import assert from "node:assert/strict";
import * as sdk from "matrix-js-sdk";
import { SlidingSync } from "matrix-js-sdk/lib/sliding-sync.js";
import { baseUrl, bodies, register, until } from "./people.mjs";

const everything = { timeline_limit: 5, required_state: [["*", "*"]] };

async function enter(name) {
    const client = await register(name);
    await client.initRustCrypto({ useIndexedDB: false });
    return client;
}

/** With the first `window` rooms in sight. */
async function slides(client, window) {
    const lists = new Map([["rooms", { ranges: [[0, window - 1]], ...everything }]]);
    const sliding = new SlidingSync(baseUrl, lists, { timeline_limit: 20, required_state: [["*", "*"]] }, client, 10_000);
    await client.startClient({ slidingSync: sliding, threadSupport: true });
    await until("the first answer", () => client.isInitialSyncComplete());
    return sliding;
}

async function story() {
    const alice = await enter("alice");
    await alice.startClient({ initialSyncLimit: 20 });
    await until("alice syncs", () => alice.isInitialSyncComplete());
    const bob = await enter("bob");
    const sliding = await slides(bob, 3);

    // A room that comes into sight, with its name and who is in it.
    const { room_id: tea } = await alice.createRoom({ preset: "public_chat", name: "Tea" });
    await bob.joinRoom(tea);
    const room = await until("the room", () => bob.getRoom(tea));
    await until("its name", () => room.name === "Tea");
    await until("who is in it", () => room.getJoinedMembers().length === 2);

    // What is said while he looks, each thing once and in its order; both ways.
    for (let number = 0; number < 30; number += 1) await alice.sendTextMessage(tea, `message ${number}`);
    await until("the last message", () => bodies(room).includes("message 29"));
    assert.deepEqual(bodies(room), Array.from({ length: 30 }, (_, number) => `message ${number}`));
    await bob.sendTextMessage(tea, "and mine");
    await until("alice hears him", () => bodies(alice.getRoom(tea)).includes("and mine"));
    await until("his own comes back once", () => bodies(room).filter((body) => body === "and mine").length === 1);

    // Who types, who has read what, and what is unread.
    await alice.sendTyping(tea, true, 20_000);
    await until("she types", () => room.getMember(alice.getUserId()).typing);
    const { event_id: question } = await alice.sendTextMessage(tea, "bob?");
    await until("it is unread", () => room.getUnreadNotificationCount("total") > 0);
    await bob.sendReadReceipt(await until("the question", () => room.findEventById(question)));
    await until("it is read", () => room.getUnreadNotificationCount("total") === 0);
    await until("alice sees that", () => alice.getRoom(tea).getReadReceiptForUserId(bob.getUserId(), true)?.eventId === question);
    const mine = alice.getRoom(tea).findEventById(question);
    const { event_id: answer } = await bob.sendTextMessage(tea, "yes");
    await alice.sendReadReceipt(await until("the answer", () => alice.getRoom(tea).findEventById(answer)));
    await until("bob sees how far she read", () => room.getReadReceiptForUserId(alice.getUserId(), true)?.eventId === answer);

    // What changes later: an edit, a reaction, something taken back.
    await alice.sendEvent(tea, "m.room.message", {
        msgtype: "m.text",
        body: "* bob!",
        "m.new_content": { msgtype: "m.text", body: "bob!" },
        "m.relates_to": { rel_type: "m.replace", event_id: mine.getId() },
    });
    await until("the edit", () => room.findEventById(question).getContent().body === "bob!");
    await bob.sendEvent(tea, "m.reaction", { "m.relates_to": { rel_type: "m.annotation", event_id: question, key: "👍" } });
    const reactions = () => room.relations.getChildEventsForEvent(question, "m.annotation", "m.reaction");
    await until("the reaction", () => reactions()?.getSortedAnnotationsByKey()?.[0]?.[0] === "👍");
    await bob.redactEvent(tea, answer);
    await until("it is taken back", () => room.findEventById(answer).isRedacted());

    // His own notes: of the account and of a room.
    await bob.setAccountData("org.example.tea", { sugar: 2 });
    await until("the account's", () => bob.getAccountData("org.example.tea")?.getContent().sugar === 2);
    await bob.setRoomTag(tea, "m.favourite", { order: 0.5 });
    await until("the room's", () => room.tags["m.favourite"]?.order === 0.5);

    // More rooms than are in sight; then all of them, and one that is opened.
    const others = [];
    for (let number = 0; number < 7; number += 1) {
        const { room_id: other } = await alice.createRoom({ preset: "public_chat", name: `Other ${number}` });
        for (let said = 0; said < 10; said += 1) await alice.sendTextMessage(other, `${number}.${said}`);
        others.push(other);
    }
    for (const other of others) await bob.joinRoom(other);
    await until("the count of all", () => sliding.getListData("rooms").joinedCount === 8);
    sliding.setListRanges("rooms", [[0, 19]]);
    await until("all of them", () => others.every((other) => bob.getRoom(other)?.name.startsWith("Other")));
    sliding.modifyRoomSubscriptions(new Set([others[0]]));
    const opened = bob.getRoom(others[0]);
    await until("ten messages", () => [...Array(10).keys()].every((said) => bodies(opened).includes(`0.${said}`)));

    // Invited, in, and out again.
    const { room_id: door } = await alice.createRoom({ preset: "private_chat", name: "Door", invite: [bob.getUserId()] });
    await until("the invitation", () => bob.getRoom(door)?.getMyMembership() === "invite");
    await bob.joinRoom(door);
    await until("he is in", () => bob.getRoom(door).getMyMembership() === "join");
    await alice.kick(door, bob.getUserId(), "closed");
    await until("he is out", () => bob.getRoom(door).getMyMembership() === "leave");

    // Secrets, both ways: devices, keys and what is sent to devices come by the same way.
    const { room_id: secret } = await alice.createRoom({
        preset: "private_chat",
        invite: [bob.getUserId()],
        initial_state: [{ type: "m.room.encryption", state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } }],
    });
    await until("the invitation", () => bob.getRoom(secret)?.getMyMembership() === "invite");
    await bob.joinRoom(secret);
    await until("alice sees him", () => alice.getRoom(secret).getMember(bob.getUserId())?.membership === "join");
    const reads = (client, body) =>
        until(`${client.getUserId()} reads ${body}`, () =>
            client.getRoom(secret)?.getLiveTimeline().getEvents()
                .find((event) => event.isEncrypted() && !event.isDecryptionFailure() && event.getContent().body === body));
    await alice.sendTextMessage(secret, "for you alone");
    await reads(bob, "for you alone");
    await bob.sendTextMessage(secret, "and for you");
    await reads(alice, "and for you");

    // Who comes back with nothing finds all of it.
    sliding.stop();
    bob.stopClient();
    const again = sdk.createClient({ baseUrl, userId: bob.getUserId(), accessToken: bob.getAccessToken(), deviceId: bob.getDeviceId() });
    const second = await slides(again, 20);
    await until("nine rooms", () => second.getListData("rooms").joinedCount === 9);
    const found = await until("the first of them", () => again.getRoom(tea));
    assert.equal(found.name, "Tea");
    assert.equal(found.tags["m.favourite"].order, 0.5);
    await again.scrollback(found, 100);
    assert.equal(bodies(found)[0], "message 0");
    second.stop();
    for (const client of [alice, again]) client.stopClient();
}

await story();
console.log("the story went well");
process.exit(0);
