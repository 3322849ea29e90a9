// What two people do with encrypted rooms on matrix-js-sdk and its own cryptography: `node secrets.mjs HOMESERVER`. Ends with 0 when all
// of it went as it should.

import assert from "node:assert/strict";
import * as sdk from "matrix-js-sdk";
import { baseUrl, until } from "./people.mjs";

const password = (name) => `secret of ${name}`;

/** A client with a device, its keys uploaded. */
async function enter(account, secrets) {
    const client = sdk.createClient({
        baseUrl,
        userId: account.user_id,
        accessToken: account.access_token,
        deviceId: account.device_id,
        cryptoCallbacks: {
            getSecretStorageKey: async ({ keys }) => [Object.keys(keys)[0], secrets.key],
            cacheSecretStorageKey: (_id, _info, key) => {
                secrets.key = key;
            },
        },
    });
    await client.initRustCrypto({ useIndexedDB: false });
    await client.startClient({ initialSyncLimit: 20 });
    await until("it syncs", () => client.isInitialSyncComplete());
    return client;
}

async function register(name, secrets = {}) {
    const nobody = sdk.createClient({ baseUrl });
    return enter(await nobody.registerRequest({ username: name, password: password(name), auth: { type: "m.login.dummy" } }), secrets);
}

async function logsIn(name) {
    const nobody = sdk.createClient({ baseUrl });
    return nobody.loginRequest({ type: "m.login.password", identifier: { type: "m.id.user", user: name }, password: password(name) });
}

/** Waits for a message and gives its event, decrypted. */
async function hears(client, roomId, body) {
    return until(`${client.getUserId()} reads ${JSON.stringify(body)}`, () => {
        const events = client.getRoom(roomId)?.getLiveTimeline().getEvents() ?? [];
        return events.find((event) => event.isEncrypted() && !event.isDecryptionFailure() && event.getContent().body === body);
    });
}

/** Cross-signing, secret storage and a key backup, as a client sets them up after the registration. */
async function setUp(client, name, secrets) {
    const crypto = client.getCrypto();
    const recovery = await crypto.createRecoveryKeyFromPassphrase();
    await crypto.bootstrapCrossSigning({
        authUploadDeviceSigningKeys: (request) =>
            request({ type: "m.login.password", identifier: { type: "m.id.user", user: name }, password: password(name) }),
    });
    await crypto.bootstrapSecretStorage({ createSecretStorageKey: async () => recovery, setupNewSecretStorage: true, setupNewKeyBackup: true });
    secrets.key = recovery.privateKey;
    await until("the backup runs", async () => (await crypto.getActiveSessionBackupVersion()) !== null);
}

async function story() {
    const secrets = {};
    const alice = await register("alice");
    const bob = await register("bob", secrets);
    await setUp(bob, "bob", secrets);
    const { room_id: roomId } = await alice.createRoom({
        preset: "private_chat",
        invite: [bob.getUserId()],
        initial_state: [{ type: "m.room.encryption", state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } }],
    });
    await until("the invitation", () => bob.getRoom(roomId)?.getMyMembership() === "invite");
    await bob.joinRoom(roomId);
    await until("alice sees bob come", () => alice.getRoom(roomId)?.getMember(bob.getUserId())?.membership === "join");
    await alice.sendTextMessage(roomId, "only for you");
    await hears(bob, roomId, "only for you");
    await until("bob knows that the room is encrypted", () => bob.getCrypto().isEncryptionEnabledInRoom(roomId));
    await bob.sendTextMessage(roomId, "thank you");
    await hears(alice, roomId, "thank you");

    // The server has only what nobody reads.
    const seen = await fetch(`${baseUrl}/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/messages?dir=b&limit=50`, {
        headers: { Authorization: `Bearer ${alice.getAccessToken()}` },
    });
    const stored = await seen.text();
    assert.ok(stored.includes("m.room.encrypted") && !stored.includes("only for you"));

    // Bob's device is signed by bob, which alice sees.
    const status = await until("alice knows bob's identity", async () => {
        const status = await alice.getCrypto().getDeviceVerificationStatus(bob.getUserId(), bob.getDeviceId());
        return status?.signedByOwner && status;
    });
    assert.equal(status.isVerified(), false, "it is signed, and alice has verified nobody");

    // A second device of bob's, from now on and, out of the backup, for what was before.
    await until("the keys are in the backup", async () => {
        const { count } = await (
            await fetch(`${baseUrl}/_matrix/client/v3/room_keys/version`, { headers: { Authorization: `Bearer ${bob.getAccessToken()}` } })
        ).json();
        return count >= 2;
    });
    const second = await enter(await logsIn("bob"), secrets);
    const crypto = second.getCrypto();
    await until("it knows who bob is", () => crypto.userHasCrossSigningKeys(bob.getUserId(), true));
    await crypto.bootstrapCrossSigning({});
    await crypto.loadSessionBackupPrivateKeyFromSecretStorage();
    await crypto.checkKeyBackupAndEnable();
    const { imported } = await crypto.restoreKeyBackup();
    assert.ok(imported >= 2, `${imported} keys came out of the backup`);
    await hears(second, roomId, "only for you");
    await until("alice knows the second device", async () => {
        const devices = await alice.getCrypto().getUserDeviceInfo([bob.getUserId()]);
        return devices.get(bob.getUserId())?.size === 2;
    });
    await alice.sendTextMessage(roomId, "to both of you");
    await hears(bob, roomId, "to both of you");
    await hears(second, roomId, "to both of you");

    // A device that is logged out reads nothing more.
    await second.logout(true);
    await until("alice knows", async () => (await alice.getCrypto().getUserDeviceInfo([bob.getUserId()])).get(bob.getUserId())?.size === 1);
    await alice.sendTextMessage(roomId, "to one of you");
    await hears(bob, roomId, "to one of you");

    // While bob is logged in nowhere, his dehydrated device hears the keys of what is said, and his next device reads it.
    await bob.getCrypto().startDehydration();
    await bob.logout(true);
    await until("alice knows the dehydrated device alone", async () => {
        const devices = (await alice.getCrypto().getUserDeviceInfo([bob.getUserId()])).get(bob.getUserId());
        return devices?.size === 1 && [...devices.values()][0].dehydrated;
    });
    await alice.sendTextMessage(roomId, "while you were away");
    const third = await enter(await logsIn("bob"), secrets);
    await until("it knows who bob is", () => third.getCrypto().userHasCrossSigningKeys(bob.getUserId(), true));
    await third.getCrypto().bootstrapCrossSigning({});
    await third.getCrypto().startDehydration();
    await hears(third, roomId, "while you were away");
    for (const client of [alice, third]) client.stopClient();
}

await story();
console.log("the story went well");
process.exit(0);
