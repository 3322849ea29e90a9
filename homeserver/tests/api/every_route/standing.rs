//! The same routes for those whom an operator suspended or locked: what a client chooses of a path decides nothing.

use landbridge_homeserver::users::Standing;
use ruma::user_id;

use super::*;

/// What is left to the suspended, beside reading.
const LEFT_TO_THE_SUSPENDED: &[&str] = &[
    "DELETE /_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device",
    "DELETE /_matrix/client/unstable/room_keys/keys",
    "DELETE /_matrix/client/unstable/room_keys/keys/{room_id}",
    "DELETE /_matrix/client/unstable/room_keys/keys/{room_id}/{session_id}",
    "DELETE /_matrix/client/unstable/room_keys/version/{version}",
    "DELETE /_matrix/client/v3/devices/{device_id}",
    "DELETE /_matrix/client/v3/room_keys/keys",
    "DELETE /_matrix/client/v3/room_keys/keys/{room_id}",
    "DELETE /_matrix/client/v3/room_keys/keys/{room_id}/{session_id}",
    "DELETE /_matrix/client/v3/room_keys/version/{version}",
    "POST /_matrix/client/unstable/keys/device_signing/upload",
    "POST /_matrix/client/unstable/keys/signatures/upload",
    "POST /_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device/{device_id}/events",
    "POST /_matrix/client/unstable/org.matrix.simplified_msc3575/sync",
    "POST /_matrix/client/unstable/room_keys/version",
    "POST /_matrix/client/v3/account/3pid/add",
    "POST /_matrix/client/v3/account/3pid/bind",
    "POST /_matrix/client/v3/account/deactivate",
    "POST /_matrix/client/v3/delete_devices",
    "POST /_matrix/client/v3/keys/claim",
    "POST /_matrix/client/v3/keys/device_signing/upload",
    "POST /_matrix/client/v3/keys/query",
    "POST /_matrix/client/v3/keys/signatures/upload",
    "POST /_matrix/client/v3/keys/upload",
    "POST /_matrix/client/v3/logout",
    "POST /_matrix/client/v3/logout/all",
    "POST /_matrix/client/v3/publicRooms",
    "POST /_matrix/client/v3/room_keys/version",
    "POST /_matrix/client/v3/rooms/{room_id}/forget",
    "POST /_matrix/client/v3/rooms/{room_id}/leave",
    "POST /_matrix/client/v3/rooms/{room_id}/read_markers",
    "POST /_matrix/client/v3/rooms/{room_id}/receipt/{receipt_type}/{event_id}",
    "POST /_matrix/client/v3/search",
    "POST /_matrix/client/v3/user/{user_id}/filter",
    "POST /_matrix/client/v3/user_directory/search",
    "PUT /_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device",
    "PUT /_matrix/client/unstable/room_keys/keys",
    "PUT /_matrix/client/unstable/room_keys/keys/{room_id}",
    "PUT /_matrix/client/unstable/room_keys/keys/{room_id}/{session_id}",
    "PUT /_matrix/client/unstable/room_keys/version/{version}",
    "PUT /_matrix/client/v3/devices/{device_id}",
    "PUT /_matrix/client/v3/room_keys/keys",
    "PUT /_matrix/client/v3/room_keys/keys/{room_id}",
    "PUT /_matrix/client/v3/room_keys/keys/{room_id}/{session_id}",
    "PUT /_matrix/client/v3/room_keys/version/{version}",
    "PUT /_matrix/client/v3/rooms/{room_id}/redact/{event_id}/{txn_id}",
    "PUT /_matrix/client/v3/sendToDevice/{event_type}/{txn_id}",
    "PUT /_matrix/client/v3/user/{user_id}/account_data/{event_type}",
    "PUT /_matrix/client/v3/user/{user_id}/rooms/{room_id}/account_data/{event_type}",
];

/// Every word that is a segment of the path of an endpoint which is left to somebody.
const WORDS: &[&str] = &[
    "account",
    "account_data",
    "add",
    "all",
    "bind",
    "claim",
    "deactivate",
    "dehydrated_device",
    "delete_devices",
    "device_signing",
    "devices",
    "events",
    "filter",
    "forget",
    "keys",
    "leave",
    "logout",
    "password",
    "publicRooms",
    "query",
    "read_markers",
    "receipt",
    "redact",
    "room_keys",
    "rooms",
    "search",
    "send",
    "sendToDevice",
    "signatures",
    "sync",
    "upload",
    "user",
    "version",
];

/// The routes that ask for a token, those that end a session last.
async fn asking(world: &World) -> Vec<(&'static str, String)> {
    let is_end = |path: &str| path.ends_with("/v3/logout") || path.ends_with("/v3/logout/all");
    let mut routes = world.routes().await;
    // This one has its token in the query.
    routes.retain(|(_, path)| !path.ends_with("/openid/userinfo"));
    routes.retain(|(method, path)| !OPEN.contains(&&*format!("{method} {path}")));
    routes.sort_by_key(|(_, path)| is_end(path));
    routes
}

/// A path with each of the words for all that a client chooses in it.
fn with_words(world: &World, path: &str) -> Vec<String> {
    let mut paths: Vec<String> = WORDS.iter().map(|word| world.filled(path, |_| (*word).to_owned())).collect();
    paths.dedup();
    paths
}

#[tokio::test]
async fn the_suspended_do_what_is_left_to_them_whatever_they_call_it() {
    let world = World::new().await;
    let routes = asking(&world).await;
    world.server.hs.users().set_standing(user_id!("@alice:localhost"), Standing::Suspended).await.unwrap();
    let (mut left, mut faults) = (BTreeSet::new(), Vec::new());
    for (method, path) in routes.iter().filter(|(method, _)| *method != "GET") {
        let (mut may, mut may_not) = (Vec::new(), Vec::new());
        for asked in with_words(&world, path) {
            let answer = world.call(method, &asked, Some(&world.alice.token), "{}").await;
            match (answer.status.as_u16(), answer.body["errcode"].as_str()) {
                (403, Some("M_USER_SUSPENDED")) => may_not.push(asked),
                _ => may.push(asked),
            }
        }
        if may_not.is_empty() {
            left.insert(format!("{method} {path}"));
        } else if !may.is_empty() {
            faults.push(format!("{method} {path}: {may:?} are let through"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let expected: BTreeSet<String> = LEFT_TO_THE_SUSPENDED.iter().map(|route| (*route).to_owned()).collect();
    assert_eq!(left, expected);
}

#[tokio::test]
async fn the_locked_log_out_and_no_more_whatever_they_call_it() {
    let world = World::new().await;
    let routes = asking(&world).await;
    world.server.hs.users().set_standing(user_id!("@alice:localhost"), Standing::Locked).await.unwrap();
    let (mut left, mut faults) = (Vec::new(), Vec::new());
    for (method, path) in &routes {
        for asked in with_words(&world, path) {
            let answer = world.call(method, &asked, Some(&world.alice.token), "{}").await;
            if answer.status == 200 {
                left.push(format!("{method} {asked}"));
            } else if answer.status != 401 || answer.body["errcode"] != "M_USER_LOCKED" {
                faults.push(format!("{method} {asked}: {} {}", answer.status, answer.body));
            }
        }
        if !left.is_empty() {
            break;
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert_eq!(left, ["POST /_matrix/client/v3/logout"]);
}
