// What the stories on matrix-js-sdk share.

import * as sdk from "matrix-js-sdk";
import { logger } from "matrix-js-sdk/lib/logger.js";

logger.disableAll?.();

/** The homeserver, which the command names. */
export const baseUrl = process.argv[2];

/** Waits until `ready` gives something. */
export async function until(what, ready) {
    const deadline = Date.now() + 60_000;
    for (;;) {
        const found = await ready();
        if (found) return found;
        if (Date.now() > deadline) throw new Error(`never happened: ${what}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
    }
}

/** Makes an account, and a client that does not sync yet. */
export async function register(name) {
    const nobody = sdk.createClient({ baseUrl });
    const account = await nobody
        .registerRequest({ username: name, password: `secret of ${name}`, auth: { type: "m.login.dummy" } });
    return sdk.createClient({
        baseUrl,
        userId: account.user_id,
        accessToken: account.access_token,
        deviceId: account.device_id,
        timelineSupport: true,
    });
}

/** What the live timeline of a room shows of messages, oldest first. */
export const bodies = (room) =>
    room.getLiveTimeline().getEvents().filter((event) => event.getType() === "m.room.message").map((event) => event.getContent().body);
