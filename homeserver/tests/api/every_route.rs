//! Every route of the server, with what is wrong in every way: nothing but the errcodes of the specification comes back, never a
//! failure of the server, and nobody gets at what is another's.

mod standing;

use std::{collections::BTreeSet, time::Duration};

use axum::body::Body;
use http::header;
use serde_json::{Value, json};

use crate::support::{Answer, Person, Server, Service, irc_registration, request};

/// Where everybody is heard without a token; all other routes answer 401.
const OPEN: &[&str] = &[
    "GET /.well-known/matrix/client",
    "GET /_matrix/client/unstable/im.nheko.summary/rooms/{room_id_or_alias}/summary",
    "GET /_matrix/client/unstable/org.matrix.msc3231/register/org.matrix.msc3231.login.registration_token/validity",
    "GET /_matrix/client/v1/register/m.login.registration_token/validity",
    "GET /_matrix/client/v1/room_summary/{room_id_or_alias}",
    "GET /_matrix/client/v3/auth/{stage}/fallback/web",
    "GET /.well-known/matrix/support",
    "GET /_matrix/client/v3/directory/list/room/{room_id}",
    "GET /_matrix/client/v3/directory/room/{room_alias}",
    "GET /_matrix/client/v3/login",
    "GET /_matrix/client/v3/profile/{user_id}",
    "GET /_matrix/client/v3/profile/{user_id}/{field}",
    "GET /_matrix/client/v3/publicRooms",
    "GET /_matrix/client/v3/register/available",
    "GET /_matrix/client/versions",
    "GET /_matrix/media/v1/download/{server}/{id}",
    "GET /_matrix/media/v1/download/{server}/{id}/{filename}",
    "GET /_matrix/media/v1/thumbnail/{server}/{id}",
    "GET /_matrix/media/v3/download/{server}/{id}",
    "GET /_matrix/media/v3/download/{server}/{id}/{filename}",
    "GET /_matrix/media/v3/thumbnail/{server}/{id}",
    "GET /_matrix/static/client/login/",
    "GET /health",
    "GET /metrics",
    "POST /_matrix/client/unstable/org.matrix.msc2918/refresh",
    "POST /_matrix/client/v3/account/3pid/email/requestToken",
    "POST /_matrix/client/v3/account/3pid/msisdn/requestToken",
    "POST /_matrix/client/v3/account/password",
    "POST /_matrix/client/v3/account/password/email/requestToken",
    "POST /_matrix/client/v3/account/password/msisdn/requestToken",
    "POST /_matrix/client/v3/auth/{stage}/fallback/web",
    "POST /_matrix/client/v3/login",
    "POST /_matrix/client/v3/refresh",
    "POST /_matrix/client/v3/register",
    "POST /_matrix/client/v3/register/email/requestToken",
    "POST /_matrix/client/v3/register/msisdn/requestToken",
];

/// What an errcode may be.
const ERRCODES: &[&str] = &[
    "M_APPSERVICE_LOGIN_UNSUPPORTED",
    "M_BAD_ALIAS",
    "M_BAD_JSON",
    "M_BAD_STATE",
    "M_CANNOT_OVERWRITE_MEDIA",
    "M_DUPLICATE_ANNOTATION",
    "M_EXCLUSIVE",
    "M_FORBIDDEN",
    "M_GUEST_ACCESS_FORBIDDEN",
    "M_INVALID_PARAM",
    "M_INVALID_ROOM_STATE",
    "M_INVALID_SIGNATURE",
    "M_INVALID_USERNAME",
    "M_KEY_TOO_LARGE",
    "M_LIMIT_EXCEEDED",
    "M_MISSING_PARAM",
    "M_MISSING_TOKEN",
    "M_NOT_FOUND",
    "M_NOT_JSON",
    "M_NOT_YET_UPLOADED",
    "M_PROFILE_TOO_LARGE",
    "M_ROOM_IN_USE",
    "M_THREEPID_DENIED",
    "M_THREEPID_NOT_FOUND",
    "M_THREEPID_MEDIUM_NOT_SUPPORTED",
    "M_SERVER_NOT_TRUSTED",
    "M_TOO_LARGE",
    "M_UNKNOWN",
    "M_UNKNOWN_DEVICE",
    "M_UNKNOWN_POS",
    "M_UNKNOWN_TOKEN",
    "M_UNRECOGNIZED",
    "M_UNSUPPORTED_ROOM_VERSION",
    "M_USER_IN_USE",
    "M_WEAK_PASSWORD",
    "M_WRONG_ROOM_KEYS_VERSION",
];

/// The paths of a router, as its own description says them.
fn paths(server: &Server) -> BTreeSet<String> {
    let description = format!("{:?}", server.router);
    let quoted = description.split('"').filter(|part| part.starts_with('/') && !part.contains(' '));
    let all: BTreeSet<&str> = quoted.collect();
    // What has an old name, too, is the same behind it.
    let is_old = |path: &str| path.contains("/r0/") && all.contains(path.replace("/r0/", "/v3/").as_str());
    all.iter().filter(|path| !is_old(path)).map(|path| (*path).to_owned()).collect()
}

/// A world with somebody in it who has everything that paths name.
struct World {
    server: Server,
    alice: Person,
    bob: Person,
    room: String,
    event: String,
    device: String,
}

impl World {
    async fn new() -> Self {
        Self::on(Server::start().await).await
    }

    async fn on(server: Server) -> Self {
        server.appservice(irc_registration(), &Service::default()).await;
        let (alice, bob) = (server.person("alice").await, server.person("bob").await);
        let room = bob.creates_room(json!({ "room_alias_name": "private" })).await;
        let event = bob.says(&room, "secret").await;
        let device = bob.get("account/whoami").await.ok()["device_id"].as_str().unwrap().to_owned();
        Self { server, alice, bob, room, event, device }
    }

    /// A path whose parameters name what is bob's, with the query that it cannot do without.
    fn of_bob(&self, path: &str) -> String {
        let needed = if path.contains("/room_keys/keys") {
            "?version=1"
        } else if path.ends_with("/timestamp_to_event") {
            "?ts=1&dir=f"
        } else if path.ends_with("/messages") {
            "?dir=b"
        } else if path.ends_with("/fallback/web") {
            "?session=none"
        } else {
            ""
        };
        let filled = self.filled(path, |name| {
            let value = match name {
                "room_id" | "room_id_or_alias" => &self.room,
                "user_id" => &self.bob.user_id,
                "event_id" | "next" => &self.event,
                "device_id" => &self.device,
                "room_alias" => "#private:localhost",
                "event_type" => "m.room.message",
                "state_key" => "",
                "rel_type" => "m.thread",
                "receipt_type" => "m.read",
                "server" | "server_name" => "localhost",
                "version" => "1",
                "scope" => "global",
                "kind" => "room",
                "field" => "m.tz",
                _ => "abcdef",
            };
            value.to_owned()
        });
        filled + needed
    }

    fn filled(&self, path: &str, value: impl Fn(&str) -> String) -> String {
        let segment = |segment: &str| match segment.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            Some(name) => percent(&value(name.trim_start_matches('*'))),
            None => segment.to_owned(),
        };
        path.split('/').map(segment).collect::<Vec<_>>().join("/")
    }

    async fn call(&self, method: &str, path: &str, token: Option<&str>, body: &str) -> Answer {
        let mut request = request(method, path, token, None);
        if !body.is_empty() {
            request.headers_mut().insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
            *request.body_mut() = Body::from(body.to_owned());
        }
        let answer = tokio::time::timeout(Duration::from_secs(60), self.server.send(request)).await;
        answer.unwrap_or_else(|_| panic!("{method} {path} hangs"))
    }

    /// What is wrong with how a route tells apart what is no JSON, what is no object, and what has not all that it takes.
    async fn misread(&self, alice: &Person, method: &str, path: &str) -> Vec<String> {
        let mut faults = Vec::new();
        let reads = self.call(method, path, Some(&alice.token), "{").await.body["errcode"] == "M_NOT_JSON";
        for (body, expected) in [
            ("{", &["M_NOT_JSON"][..]),
            ("nonsense", &["M_NOT_JSON"]),
            ("[]", &["M_BAD_JSON"]),
            ("5", &["M_BAD_JSON"]),
            ("{}", &["M_BAD_JSON", "M_MISSING_PARAM", "M_INVALID_PARAM", "M_UNKNOWN"]),
        ] {
            let answer = self.call(method, path, Some(&alice.token), body).await;
            let errcode = answer.body["errcode"].as_str().unwrap_or_default();
            let nonsense_taken = reads && answer.status == 200 && body != "{}";
            if nonsense_taken || (answer.status == 400 && !expected.contains(&errcode)) {
                faults.push(format!("is asked {body:?} and says {}", answer.body));
            }
        }
        // What reads its body reads no more than the bound.
        if reads {
            let huge = " ".repeat(2 * 1024 * 1024 + 1);
            let answer = self.call(method, path, Some(&alice.token), &huge).await;
            if answer.status != 413 || answer.body["errcode"] != "M_TOO_LARGE" {
                faults.push(format!("is sent two megabytes and says {} {}", answer.status, answer.body));
            }
        }
        faults
    }

    /// Alice, logged in again where one of the routes has ended her session.
    async fn again(&self, alice: Person) -> Person {
        if alice.get("account/whoami").await.status == 401 {
            return Person::of(&self.server, &self.server.logs_in("alice").await, &alice.user_id);
        }
        alice
    }

    /// The methods and paths that there are.
    async fn routes(&self) -> Vec<(&'static str, String)> {
        let mut routes = Vec::new();
        for path in paths(&self.server) {
            for method in ["GET", "POST", "PUT", "DELETE"] {
                let answer = self.call(method, &self.of_bob(&path), None, "").await;
                let unknown = answer.body["errcode"] == "M_UNRECOGNIZED" && matches!(answer.status.as_u16(), 404 | 405);
                if !unknown {
                    routes.push((method, path.clone()));
                }
            }
        }
        routes
    }
}

fn percent(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// What is wrong with an answer to something wrong, if anything.
fn fault(answer: &Answer) -> Option<String> {
    let status = answer.status.as_u16();
    if status >= 500 && !(status == 502 || status == 504) {
        return Some(format!("{status} {}", answer.body));
    }
    if (200..400).contains(&status) || status == 416 {
        return None;
    }
    // User-interactive authentication asks without an errcode.
    if status == 401 && answer.body["flows"].is_array() {
        return None;
    }
    let known = answer.body["errcode"].as_str().is_some_and(|errcode| ERRCODES.contains(&errcode));
    let said = answer.body["error"].as_str().is_some_and(|error| !error.is_empty());
    (!known || !said).then(|| format!("{status} {}", String::from_utf8_lossy(&answer.bytes)))
}

/// Who asks ends here.
fn ends_sessions(path: &str) -> bool {
    ["/logout", "/deactivate", "/delete_devices", "/password"].iter().any(|end| path.contains(end))
}

#[tokio::test]
async fn every_route_knows_who_asks() {
    let world = World::new().await;
    let routes = world.routes().await;
    assert!(routes.len() > 200, "only {} routes were found", routes.len());
    let mut open = BTreeSet::new();
    let mut faults = Vec::new();
    for (method, path) in &routes {
        let filled = world.of_bob(path);
        let stranger = world.call(method, &filled, None, "{}").await;
        let is_open = stranger.body["errcode"] != "M_MISSING_TOKEN";
        if is_open {
            open.insert(format!("{method} {path}"));
        } else if stranger.status != 401 {
            faults.push(format!("{method} {path} without a token: {}", stranger.status));
        }
        faults.extend(fault(&stranger).map(|fault| format!("{method} {path} without a token: {fault}")));
        let wrong = world.call(method, &filled, Some("nonsense"), "{}").await;
        // The token of this one is in the query.
        let is_openid = path.ends_with("/openid/userinfo");
        if !is_open && !is_openid && (wrong.status != 401 || wrong.body["errcode"] != "M_UNKNOWN_TOKEN") {
            faults.push(format!("{method} {path} with a wrong token: {} {}", wrong.status, wrong.body));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let expected: BTreeSet<String> = OPEN.iter().map(|route| (*route).to_owned()).collect();
    let more: Vec<_> = open.difference(&expected).collect();
    let fewer: Vec<_> = expected.difference(&open).collect();
    assert!(more.is_empty() && fewer.is_empty(), "open: {more:#?}\nnot open: {fewer:#?}");
}

/// Bodies that are wrong, or hold every field that any endpoint knows as what it is not.
fn wrong_bodies() -> Vec<String> {
    const FIELDS: &[&str] = &[
        "actions",
        "algorithm",
        "auth",
        "auth_data",
        "avatar_url",
        "before",
        "body",
        "content",
        "creation_content",
        "device_id",
        "device_keys",
        "devices",
        "displayname",
        "display_name",
        "enabled",
        "erase",
        "event_id",
        "events",
        "filter",
        "from",
        "guest_access",
        "id",
        "identifier",
        "initial_state",
        "invite",
        "invite_3pid",
        "is_direct",
        "join_rule",
        "keys",
        "kind",
        "limit",
        "lists",
        "m.fully_read",
        "m.read",
        "master_key",
        "membership",
        "messages",
        "msgtype",
        "name",
        "new_password",
        "new_version",
        "one_time_keys",
        "order",
        "password",
        "pattern",
        "power_level_content_override",
        "presence",
        "preset",
        "pushkey",
        "app_id",
        "data",
        "reason",
        "refresh_token",
        "room_alias_name",
        "room_id",
        "room_version",
        "rooms",
        "score",
        "search_categories",
        "search_term",
        "sessions",
        "tags",
        "third_party_instance_id",
        "third_party_signed",
        "timeout",
        "token",
        "topic",
        "type",
        "typing",
        "url",
        "user",
        "user_id",
        "username",
        "version",
        "via",
        "visibility",
    ];
    let all = |value: Value| {
        Value::Object(FIELDS.iter().map(|field| ((*field).to_owned(), value.clone())).collect()).to_string()
    };
    let mut bodies: Vec<String> =
        ["{}", "[]", "5", "null", "\"text\"", "{", "nonsense", "{\"a\":1e400}"].map(str::to_owned).into();
    bodies.extend([json!(5), json!(-1.5), json!([]), json!({}), json!("text"), json!(null), json!([[{}]])].map(all));
    bodies.push(all(json!("\u{0}\u{202e}")));
    bodies
}

#[tokio::test]
async fn no_body_and_no_query_breaks_a_route() {
    nothing_breaks_a_route(Server::start().await).await;
}

#[tokio::test]
async fn no_body_and_no_query_breaks_a_route_on_postgresql() {
    let Some(postgres) = crate::rooms_support::Postgres::start().await else { return };
    nothing_breaks_a_route(Server::start_on(Some(postgres.url.clone())).await).await;
}

async fn nothing_breaks_a_route(server: Server) {
    let world = World::on(server).await;
    let (mut faults, mut alice) = (Vec::new(), world.alice.clone());
    for (method, path) in world.routes().await {
        alice = world.again(alice).await;
        let own = world.of_bob(&path).replace(&percent(&world.bob.user_id), &percent(&world.alice.user_id));
        let mut wrong: Vec<(String, String)> = Vec::new();
        if method != "GET" {
            wrong.extend(wrong_bodies().into_iter().map(|body| (own.clone(), body)));
        }
        for query in [
            "limit=-1&dir=x&from=nonsense&to=%F0%9F%8D%B5&at=s&since=nonsense&timeout=abc&ts=abc&filter=%7B",
            "limit=abc",
            "dir=f&limit=99999999999999999999",
            "since=s-1",
            "filter=%7B%22room%22%3A5%7D",
            "timeout=-1",
            "membership=5&not_membership=",
            "set_presence=nobody",
            "user_id=%40bob%3Alocalhost&device_id=X&ts=-1",
            "limit=0",
            "format=odd&include=odd&order=odd&method=odd&width=-1&height=0&url=&version=0&kind=odd&only=odd",
        ] {
            let bare = own.split('?').next().unwrap_or_default();
            wrong.push((format!("{bare}?{query}"), String::new()));
        }
        for value in ["nonsense", "", ".", "\u{0}", "🍵", &"x".repeat(300), "!:", "@:", "$", "'; DROP TABLE event; --"]
        {
            let path = world.filled(&path, |_| value.to_owned());
            wrong.push((path, if method == "GET" { String::new() } else { "{}".to_owned() }));
        }
        for (path, body) in wrong {
            if ends_sessions(&path) {
                alice = world.again(alice).await;
            }
            let answer = world.call(method, &path, Some(&alice.token), &body).await;
            let shown = body.get(..60).unwrap_or(&body);
            faults.extend(fault(&answer).map(|fault| format!("{method} {path} {shown}: {fault}")));
        }
        if method != "GET" && !ends_sessions(&path) {
            faults.extend(
                world.misread(&alice, method, &own).await.into_iter().map(|fault| format!("{method} {path} {fault}")),
            );
        }
    }
    faults.sort();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    world.bob.syncs(None, "").await;
    let alice = world.again(alice).await;
    alice.get(&format!("rooms/{}/messages", world.room)).await.refused(400, "M_MISSING_PARAM");
    alice.get("room_keys/keys").await.refused(400, "M_MISSING_PARAM");
    alice.get("publicRooms?limit=tea").await.refused(400, "M_INVALID_PARAM");
}

/// What one who is not in a room may do with it all the same: keep notes of one's own, report it, ask whether it is published.
const FREE_IN_ROOMS: &[&str] = &[
    "DELETE /_matrix/client/v3/user/{user_id}/rooms/{room_id}/tags/{tag}",
    "GET /_matrix/client/v3/directory/list/room/{room_id}",
    "GET /_matrix/client/v3/directory/room/{room_alias}",
    "GET /_matrix/client/v3/user/{user_id}/rooms/{room_id}/tags",
    "POST /_matrix/client/unstable/org.matrix.msc4151/rooms/{room_id}/report",
    "POST /_matrix/client/v3/rooms/{room_id}/report",
    "PUT /_matrix/client/v3/user/{user_id}/rooms/{room_id}/account_data/{event_type}",
    "PUT /_matrix/client/v3/user/{user_id}/rooms/{room_id}/tags/{tag}",
];

/// What is everybody's business of another user: what they are called, and reporting them.
const FREE_OF_USERS: &[&str] = &[
    "GET /_matrix/client/v3/profile/{user_id}",
    "POST /_matrix/client/unstable/org.matrix.msc4260/users/{user_id}/report",
    "POST /_matrix/client/v3/users/{user_id}/report",
];

/// A body that holds what any of these routes cannot do without.
const ENOUGH: &str = r#"{"user_id":"@carol:localhost","typing":true,"membership":"join","m.read":"$a","reason":"none",
    "visibility":"public","presence":"online","new_version":"12","sessions":{},"rooms":{},
    "msgtype":"m.text","body":"tea","first_message_index":0,"forwarded_count":0,"is_verified":false,"session_data":{}}"#;

#[tokio::test]
async fn what_is_anothers_stays_so() {
    let world = World::new().await;
    let (mut rooms, mut users, mut faults) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    let named = json!({ "room_id": world.room }).to_string();
    for (method, path) in world.routes().await {
        if path.contains("/_landbridge/") {
            continue;
        }
        let filled = world.of_bob(&path);
        let of_room = ["{room_id}", "{room_id_or_alias}", "{room_alias}"].iter().any(|name| path.contains(name));
        let of_user = path.contains("{user_id}");
        if !of_room && !of_user {
            continue;
        }
        let own = filled.replace(&percent(&world.bob.user_id), &percent(&world.alice.user_id));
        let body = match method {
            "GET" => "",
            // Here presence is something else.
            _ if path.ends_with("/filter") => "{}",
            _ if path.contains("{room_alias}") => &named,
            _ => ENOUGH,
        };
        for (concerned, path_asked, allowed) in [(of_room, &own, &mut rooms), (of_user, &filled, &mut users)] {
            if !concerned {
                continue;
            }
            let answer = world.call(method, path_asked, Some(&world.alice.token), body).await;
            if answer.status.is_success() {
                allowed.insert(format!("{method} {path}"));
            } else if !matches!(answer.status.as_u16(), 403 | 404) {
                faults.push(format!("{method} {path}: {} {}", answer.status, answer.body));
            }
        }
    }
    let expected = |free: &[&str]| free.iter().map(|route| (*route).to_owned()).collect::<BTreeSet<_>>();
    let free = (expected(FREE_IN_ROOMS), expected(FREE_OF_USERS));
    assert_eq!((rooms, users), free, "rooms of others, and other users");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    // Nothing has become of it.
    let joined = world.bob.get(&format!("rooms/{}/joined_members", world.room)).await.ok();
    assert_eq!(joined["joined"].as_object().unwrap().len(), 1);
    world.bob.get(&format!("devices/{}", world.device)).await.ok();
    assert_eq!(
        world.bob.get(&format!("rooms/{}/event/{}", world.room, world.event)).await.ok()["content"]["body"],
        "secret"
    );
}
