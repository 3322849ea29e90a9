// What two people do with clients on matrix-js-sdk: `node story.mjs HOMESERVER`. Ends with 0 when all of it went as it should.

import assert from "node:assert/strict";
import * as sdk from "matrix-js-sdk";
import { baseUrl, bodies, register, until } from "./people.mjs";

async function enter(name) {
    const client = await register(name);
    await client.startClient({ initialSyncLimit: 20, threadSupport: true, lazyLoadMembers: true });
    await until(`${name} syncs`, () => client.isInitialSyncComplete());
    return client;
}

const relation = (type, event, more = {}) => ({ "m.relates_to": { rel_type: type, event_id: event, ...more } });

async function story() {
    const alice = await enter("alice");
    const bob = await enter("bob");

    // A room, and coming in.
    const { room_id: roomId } = await alice.createRoom({ preset: "public_chat", name: "Tea", room_alias_name: "tea" });
    await bob.joinRoom("#tea:localhost");
    const room = await until("bob is in the room", () => bob.getRoom(roomId));
    await until("the room has its name", () => room.name === "Tea");

    // The timeline, live and paged back.
    for (let number = 0; number < 30; number += 1) await alice.sendTextMessage(roomId, `message ${number}`);
    await until("the last message", () => bodies(room).includes("message 29"));
    const again = sdk.createClient({ baseUrl, userId: bob.getUserId(), accessToken: bob.getAccessToken(), deviceId: bob.getDeviceId() });
    await again.startClient({ initialSyncLimit: 5 });
    const small = await until("a small window", () => again.isInitialSyncComplete() && again.getRoom(roomId));
    assert.deepEqual(bodies(small), [25, 26, 27, 28, 29].map((number) => `message ${number}`));
    await again.scrollback(small, 10);
    assert.equal(bodies(small)[0], "message 15");
    again.stopClient();

    // Edits.
    const { event_id: original } = await alice.sendTextMessage(roomId, "teh");
    await alice.sendEvent(roomId, "m.room.message", {
        msgtype: "m.text",
        body: "* the",
        "m.new_content": { msgtype: "m.text", body: "the" },
        ...relation("m.replace", original),
    });
    const edited = await until("the edited message", () => room.findEventById(original));
    await until("the edit", () => edited.replacingEvent() && edited.getContent().body === "the");

    // Reactions.
    const { event_id: reaction } = await bob.sendEvent(roomId, "m.reaction", relation("m.annotation", original, { key: "👍" }));
    const aliceRoom = alice.getRoom(roomId);
    const reactions = () => aliceRoom.relations.getChildEventsForEvent(original, "m.annotation", "m.reaction");
    await until("the reaction", () => reactions()?.getSortedAnnotationsByKey()?.[0]?.[0] === "👍");
    await assert.rejects(bob.sendEvent(roomId, "m.reaction", relation("m.annotation", original, { key: "👍" })), { errcode: "M_DUPLICATE_ANNOTATION" });
    await bob.redactEvent(roomId, reaction);
    await until("the reaction is gone", () => !reactions()?.getSortedAnnotationsByKey()?.some(([, events]) => events.size > 0));

    // Threads, and what is unread in them and beside them.
    const { event_id: root } = await alice.sendTextMessage(roomId, "root of a thread");
    const { event_id: read } = await alice.sendTextMessage(roomId, "beside the thread");
    await until("bob sees it", () => room.findEventById(read));
    await bob.sendReadReceipt(room.findEventById(read));
    await until("bob has read everything", () => room.getUnreadNotificationCount("total") === 0);
    const inThread = (body) => ({ msgtype: "m.text", body, ...relation("m.thread", root, { is_falling_back: true, "m.in_reply_to": { event_id: root } }) });
    await alice.sendEvent(roomId, root, "m.room.message", inThread("in the thread"));
    const { event_id: last } = await alice.sendEvent(roomId, root, "m.room.message", {
        ...inThread("bob, look"),
        "m.mentions": { user_ids: [bob.getUserId()] },
    });
    const thread = await until("the thread", () => room.getThread(root));
    await until("its last event", () => thread.replyToEvent?.getId() === last && thread.length === 2);
    await until("it is unread", () => room.getThreadUnreadNotificationCount(root, "total") === 2);
    assert.equal(room.getThreadUnreadNotificationCount(root, "highlight"), 1);
    await alice.sendTextMessage(roomId, "and beside it");
    await until("that is unread, too", () => room.getUnreadNotificationCount("total") === 3);
    const lastEvent = await until("the event of the thread", () => thread.findEventById(last));
    await bob.sendReadReceipt(lastEvent);
    await until("the thread is read", () => room.getThreadUnreadNotificationCount(root, "total") === 0);
    assert.equal(room.getRoomUnreadNotificationCount("total"), 1);

    // Receipts reach others; private ones do not.
    await until("alice sees how far bob read", () => aliceRoom.getReadReceiptForUserId(bob.getUserId(), true)?.eventId === read);
    const newest = room.getLiveTimeline().getEvents().at(-1);
    await bob.sendReadReceipt(newest, "m.read.private");
    await until("all is read", () => room.getUnreadNotificationCount("total") === 0);
    assert.equal(aliceRoom.getReadReceiptForUserId(bob.getUserId(), true)?.eventId, read);

    // A client that comes fresh finds the same.
    const fresh = sdk.createClient({ baseUrl, userId: bob.getUserId(), accessToken: bob.getAccessToken(), deviceId: bob.getDeviceId() });
    await fresh.startClient({ initialSyncLimit: 30, threadSupport: true });
    const freshRoom = await until("a fresh client", () => fresh.isInitialSyncComplete() && fresh.getRoom(roomId));
    await until("the thread again", () => freshRoom.getThread(root)?.length === 2);
    assert.equal(freshRoom.findEventById(original).getContent().body, "the");
    assert.equal(freshRoom.getUnreadNotificationCount("total"), 0);

    // Search, relations and the hierarchy by the library's own calls.
    const found = await bob.search({ body: { search_categories: { room_events: { search_term: "beside thread" } } } });
    assert.equal(found.search_categories.room_events.results[0].result.event_id, read);
    const { events } = await bob.relations(roomId, root, "m.thread", "m.room.message");
    assert.equal(events.length, 2);
    const hierarchy = await bob.getRoomHierarchy(roomId);
    assert.equal(hierarchy.rooms[0].name, "Tea");
    const { event_id: first } = await bob.timestampToEvent(roomId, 0, "f");
    assert.ok(first.startsWith("$"));
    for (const client of [alice, bob, fresh]) client.stopClient();
}

await story();
console.log("the story went well");
process.exit(0);
