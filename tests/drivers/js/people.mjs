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

/**
 * Fetches for one client, which learns that something was sent before a sync shows it. The library copes with the other order, too, but not
 * in threads: there it takes the answer to the send for a failure, tries again for half a minute and then gives up what is long in the room.
 */
function inOrder() {
    let sending = 0;
    return async (url, options) => {
        if (options?.method === "PUT") {
            sending += 1;
            try {
                return await fetch(url, options);
            } finally {
                // Its body has to be read, too.
                setTimeout(() => (sending -= 1), 20);
            }
        }
        const answer = await fetch(url, options);
        while (sending > 0 && new URL(url).pathname.endsWith("/sync")) await new Promise((resolve) => setTimeout(resolve, 5));
        return answer;
    };
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
        fetchFn: inOrder(),
        timelineSupport: true,
    });
}

/** What the live timeline of a room shows of messages, oldest first. */
export const bodies = (room) =>
    room.getLiveTimeline().getEvents().filter((event) => event.getType() === "m.room.message").map((event) => event.getContent().body);
