//! The simulated Client-Server API: what a bridge asks of a homeserver.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use landbridge_axum_ruma::Turn;
use serde_json::{Value, json};

use super::{
    Fault, Shared,
    world::{Refusal, World, forbidden, not_found, refuse},
};

/// Marks an answer that the bridge must never see.
#[derive(Clone, Copy)]
pub(super) struct Lost;

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new().fallback(handle).with_state(shared)
}

/// Over how many others a request may be overtaken.
const OVERTAKING: usize = 8;
const MAX_BODY: usize = 100 * 1024 * 1024;

/// A request, taken apart.
struct Call {
    method: Method,
    /// The path below `/_matrix/client/<version>/` or `/_matrix/media/<version>/`, decoded, with the area in front.
    path: Vec<String>,
    query: Vec<(String, String)>,
    raw_path: String,
    content_type: String,
    body: Bytes,
}

impl Call {
    fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn json(&self) -> Result<Value, Refusal> {
        if self.body.is_empty() {
            return Ok(json!({}));
        }
        serde_json::from_slice(&self.body).map_or_else(|_| refuse(400, "M_NOT_JSON", "not JSON"), Ok)
    }
}

async fn handle(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let turn = request.extensions().get::<Turn>().cloned();
    let Some((turn, number)) = turn.zip(shared.world.lock().turns.as_mut().map(|turns| {
        *turns += 1;
        *turns
    })) else {
        return handle_now(&shared, request).await;
    };
    // Whoever came first comes last, if nobody waits for their turn.
    for _ in 0..OVERTAKING.saturating_sub(number % OVERTAKING) {
        tokio::task::yield_now().await;
    }
    if turn.comes().await.is_err() {
        return error((StatusCode::SERVICE_UNAVAILABLE, "M_UNKNOWN", "the request before this one failed".to_owned()));
    }
    let response = handle_now(&shared, request).await;
    if response.status().is_success() || response.status() == StatusCode::GATEWAY_TIMEOUT {
        turn.taken();
    }
    response
}

async fn handle_now(shared: &Arc<Shared>, request: Request) -> Response {
    let path = request.uri().path_and_query().map_or("", |path| path.as_str()).to_owned();
    let fault = {
        let mut world = shared.world.lock();
        world.requests.push(format!("{} {path}", request.method()));
        world.faults.take(&path)
    };
    match fault {
        None => answer(shared, request).await,
        Some(Fault::AnswerLost) => {
            answer(shared, request).await;
            lost(StatusCode::GATEWAY_TIMEOUT)
        }
        Some(Fault::Unreachable) => lost(StatusCode::BAD_GATEWAY),
        Some(Fault::BadGateway) => (StatusCode::BAD_GATEWAY, "<html>Bad Gateway</html>").into_response(),
        Some(Fault::UnknownToken) => error((StatusCode::UNAUTHORIZED, "M_UNKNOWN_TOKEN", "unknown token".to_owned())),
        Some(Fault::Refused(status, errcode)) => error((status, errcode, "refused by the test".to_owned())),
        Some(Fault::RateLimited(after)) => {
            let body = json!({ "errcode": "M_LIMIT_EXCEEDED", "error": "slow down", "retry_after_ms": after.as_millis() as u64 });
            (StatusCode::TOO_MANY_REQUESTS, axum::Json(body)).into_response()
        }
    }
}

fn lost(status: StatusCode) -> Response {
    let mut response = status.into_response();
    response.extensions_mut().insert(Lost);
    response
}

fn error((status, errcode, message): Refusal) -> Response {
    (status, axum::Json(json!({ "errcode": errcode, "error": message }))).into_response()
}

async fn answer(shared: &Arc<Shared>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
        return error((StatusCode::PAYLOAD_TOO_LARGE, "M_TOO_LARGE", "too large".to_owned()));
    };
    let query = url::form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let path = head
        .uri
        .path()
        .trim_start_matches('/')
        .split('/')
        .map(|part| percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned());
    let token = head.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let text = |value: Option<&HeaderValue>| value.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let call = Call {
        method: head.method,
        path: path.collect(),
        query,
        raw_path: head.uri.path().to_owned(),
        content_type: text(head.headers.get(header::CONTENT_TYPE)),
        body: body.to_bytes(),
    };
    let outcome = dispatch(shared, token, &call).await;
    shared.changed();
    match outcome {
        Ok(response) => response,
        Err(refusal) => error(refusal),
    }
}

fn ok(body: Value) -> Result<Response, Refusal> {
    Ok(axum::Json(body).into_response())
}

async fn dispatch(shared: &Arc<Shared>, token: &str, call: &Call) -> Result<Response, Refusal> {
    let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
    if path == ["_matrix", "client", "versions"] {
        return ok(json!({ "versions": ["v1.11"] }));
    }
    let user = sender(&shared.world.lock(), token, call)?;
    // What asks the application service cannot be done under the lock.
    match (call.method.as_str(), &path[..]) {
        ("POST", ["_matrix", "client", _, "appservice", id, "ping"]) => return ping(shared, id, call).await,
        ("GET", ["_matrix", "client", _, "directory", "room", alias])
            if !shared.world.lock().aliases.contains_key(*alias) =>
        {
            shared.query_alias(alias).await;
        }
        _ => {}
    }
    let mut world = shared.world.lock();
    match &path[..] {
        ["_matrix", "client", _, "media", "download", rest @ ..] if !world.legacy_media => download(&world, rest),
        ["_matrix", "media", _, "download", rest @ ..] => download(&world, rest),
        ["_matrix", "media", _, "upload"] => upload(&mut world, call),
        ["_matrix", "client", _, rest @ ..] => client(&mut world, &user, call, rest),
        _ => unknown(),
    }
}

fn unknown() -> Result<Response, Refusal> {
    refuse(404, "M_UNRECOGNIZED", "unknown endpoint")
}

/// Who asks: as Synapse, only registered users can be asserted.
fn sender(world: &World, token: &str, call: &Call) -> Result<String, Refusal> {
    let Some(link) = &world.appservice else { return refuse(401, "M_UNKNOWN_TOKEN", "no appservice") };
    let token = token.strip_prefix("Bearer ").unwrap_or_default();
    if token.is_empty() {
        return refuse(401, "M_MISSING_TOKEN", "no token");
    }
    if !link.registration.as_token.matches(token) {
        return refuse(401, "M_UNKNOWN_TOKEN", "wrong token");
    }
    let user = call.query("user_id").unwrap_or(link.sender());
    if !link.is_ours(user) {
        return refuse(403, "M_EXCLUSIVE", "not in the namespace");
    }
    if user != link.sender() && !world.exists(user) {
        return forbidden("Application service has not registered this user");
    }
    Ok(user.to_owned())
}

fn client(world: &mut World, user: &str, call: &Call, path: &[&str]) -> Result<Response, Refusal> {
    match (call.method.as_str(), path) {
        ("GET", ["account", "whoami"]) => ok(json!({ "user_id": user, "is_guest": false })),
        ("POST", ["register"]) => register(world, call),
        ("GET", ["profile", of]) => match world.profiles.get(*of) {
            // As Synapse answers, also of who is there and shows nothing.
            Some(profile) if profile.as_object().is_some_and(|profile| !profile.is_empty()) => ok(profile.clone()),
            Some(_) | None => not_found("no such user"),
        },
        ("GET", ["profile", of, "displayname"]) => match world.profiles.get(*of) {
            Some(profile) => ok(json!({ "displayname": profile.get("displayname") })),
            None => not_found("no such user"),
        },
        ("PUT", ["profile", of, key]) => {
            let value = call.json()?[*key].clone();
            world.set_profile(of, key, value);
            ok(json!({}))
        }
        ("POST", ["createRoom"]) => {
            let room_id = world.create_room(user, &call.json()?)?;
            ok(json!({ "room_id": room_id }))
        }
        ("GET", ["directory", "room", alias]) => match world.aliases.get(*alias) {
            Some(room_id) => ok(json!({ "room_id": room_id, "servers": [world.server_name] })),
            None => not_found("no such alias"),
        },
        ("PUT", ["directory", "room", alias]) => put_alias(world, alias, call),
        ("DELETE", ["directory", "room", alias]) => match world.aliases.remove(*alias) {
            Some(_) => ok(json!({})),
            None => not_found("no such alias"),
        },
        ("PUT", ["directory", "list", "room", room_id] | ["directory", "list", "appservice", _, room_id]) => {
            if call.json()?["visibility"] == "public" {
                world.listed.insert((*room_id).to_owned());
            } else {
                world.listed.remove(*room_id);
            }
            ok(json!({}))
        }
        ("GET", ["joined_rooms"]) => {
            let rooms = world.rooms.iter().filter(|(_, room)| room.membership(user) == "join");
            ok(json!({ "joined_rooms": rooms.map(|(id, _)| id).collect::<Vec<_>>() }))
        }
        ("POST", ["join", room]) => join(world, user, room),
        ("GET", ["user", of, "account_data", kind]) => match world.account_data.get(&key(of, kind)) {
            Some(data) => ok(data.clone()),
            None => not_found("not set"),
        },
        ("PUT", ["user", of, "account_data", kind]) => {
            world.account_data.insert(key(of, kind), call.json()?);
            ok(json!({}))
        }
        ("PUT", ["presence", of, "status"]) => {
            let body = call.json()?;
            world.presence.insert((*of).to_owned(), body);
            ok(json!({}))
        }
        (_, ["rooms", room_id, rest @ ..]) => room(world, user, call, room_id, rest),
        _ => unknown(),
    }
}

fn room(world: &mut World, user: &str, call: &Call, room_id: &str, path: &[&str]) -> Result<Response, Refusal> {
    world.room(room_id)?;
    let body = call.json()?;
    let reason = body["reason"].as_str();
    let target = body["user_id"].as_str().unwrap_or_default();
    let ts = call.query("ts").and_then(|ts| ts.parse().ok());
    let mut member = |target: &str, membership| {
        world.set_membership(room_id, user, target, membership, reason)?;
        ok(json!({}))
    };
    match (call.method.as_str(), path) {
        ("POST", ["join"]) => join(world, user, room_id),
        ("POST", ["leave"]) => member(user, "leave"),
        ("POST", ["invite"]) => member(target, "invite"),
        ("POST", ["kick" | "unban"]) => member(target, "leave"),
        ("POST", ["ban"]) => member(target, "ban"),
        ("PUT", ["send", kind, _]) => once(world, call, |world| world.send(room_id, user, kind, body.clone(), ts)),
        ("PUT", ["redact", event, _]) => once(world, call, |world| world.redact(room_id, user, event, reason)),
        ("PUT", ["state", "m.room.member", target]) => {
            world.set_membership(room_id, user, target, body["membership"].as_str().unwrap_or_default(), reason)?;
            let member = world.room(room_id)?.state.get(&key("m.room.member", target));
            ok(json!({ "event_id": member.map(|event| &event["event_id"]) }))
        }
        ("PUT", ["state", kind, rest @ ..]) => {
            let event_id = world.set_state(room_id, user, kind, rest.first().unwrap_or(&""), body)?;
            ok(json!({ "event_id": event_id }))
        }
        ("PUT", ["typing", who]) => {
            let room = world.rooms.entry(room_id.to_owned()).or_default();
            if body["typing"] == true {
                room.typing.insert((*who).to_owned());
            } else {
                room.typing.remove(*who);
            }
            ok(json!({}))
        }
        ("POST", ["receipt", _, event]) => {
            world.receipts.push((room_id.to_owned(), user.to_owned(), (*event).to_owned()));
            ok(json!({}))
        }
        ("GET", _) => read(world, user, room_id, path),
        _ => unknown(),
    }
}

fn read(world: &World, user: &str, room_id: &str, path: &[&str]) -> Result<Response, Refusal> {
    let room = world.room(room_id)?;
    if room.membership(user) != "join" {
        return forbidden(&format!("{user} is not in {room_id}"));
    }
    match path {
        ["state"] => ok(room.state.values().cloned().collect()),
        ["state", kind, rest @ ..] => match room.state.get(&key(kind, rest.first().unwrap_or(&""))) {
            Some(event) => ok(event["content"].clone()),
            None => not_found("no such state"),
        },
        ["members"] => ok(json!({ "chunk": room.members().map(|(_, event)| event).collect::<Vec<_>>() })),
        ["joined_members"] => {
            let joined = room.members().filter(|(_, event)| event["content"]["membership"] == "join");
            let joined: serde_json::Map<_, _> = joined
                .map(|(user_id, event)| {
                    let content = &event["content"];
                    let member = json!({ "display_name": content["displayname"], "avatar_url": content["avatar_url"] });
                    (user_id.to_owned(), member)
                })
                .collect();
            ok(json!({ "joined": joined }))
        }
        // As Synapse once did, an event of any room: the client must look at the room id itself.
        ["event", event] => {
            let mut events = world.rooms.values().flat_map(|room| &room.timeline);
            match events.find(|found| found["event_id"] == *event) {
                Some(event) => ok(event.clone()),
                None => not_found("no such event"),
            }
        }
        _ => unknown(),
    }
}

fn key(one: &str, other: &str) -> (String, String) {
    (one.to_owned(), other.to_owned())
}

/// The same transaction sends once. As in Synapse, the key of an application service's transaction has no user in it: two virtual
/// users that use one transaction id in one room are taken for one.
fn once(
    world: &mut World,
    call: &Call,
    send: impl FnOnce(&mut World) -> Result<String, Refusal>,
) -> Result<Response, Refusal> {
    let event_id = match world.transactions.get(&call.raw_path) {
        Some(event_id) => event_id.clone(),
        None => send(world)?,
    };
    world.transactions.insert(call.raw_path.clone(), event_id.clone());
    ok(json!({ "event_id": event_id }))
}

fn join(world: &mut World, user: &str, room: &str) -> Result<Response, Refusal> {
    let room_id = if room.starts_with('#') {
        world.aliases.get(room).cloned().map_or_else(|| not_found("no such alias"), Ok)?
    } else {
        room.to_owned()
    };
    world.set_membership(&room_id, user, user, "join", None)?;
    ok(json!({ "room_id": room_id }))
}

fn register(world: &mut World, call: &Call) -> Result<Response, Refusal> {
    let body = call.json()?;
    let localpart = body["username"].as_str().unwrap_or_default();
    let user_id = format!("@{localpart}:{}", world.server_name);
    if body["type"] != "m.login.application_service" {
        return refuse(400, "M_UNKNOWN", "not for you");
    }
    if !world.appservice.as_ref().is_some_and(|link| link.is_ours(&user_id)) {
        return refuse(400, "M_EXCLUSIVE", "not in the namespace");
    }
    if world.exists(&user_id) {
        return refuse(400, "M_USER_IN_USE", "there is one");
    }
    world.profiles.insert(user_id.clone(), json!({ "displayname": localpart }));
    ok(json!({ "user_id": user_id }))
}

fn put_alias(world: &mut World, alias: &str, call: &Call) -> Result<Response, Refusal> {
    if world.aliases.contains_key(alias) {
        return refuse(409, "M_UNKNOWN", "the alias is taken");
    }
    let room_id = call.json()?["room_id"].as_str().unwrap_or_default().to_owned();
    world.aliases.insert(alias.to_owned(), room_id);
    ok(json!({}))
}

fn upload(world: &mut World, call: &Call) -> Result<Response, Refusal> {
    let media_id = format!("media{}", world.fresh());
    world.media.insert(media_id.clone(), (call.content_type.clone(), call.body.clone()));
    ok(json!({ "content_uri": format!("mxc://{}/{media_id}", world.server_name) }))
}

fn download(world: &World, path: &[&str]) -> Result<Response, Refusal> {
    let [_, media_id, ..] = path else { return unknown() };
    let Some((mime, content)) = world.media.get(*media_id) else { return not_found("no such file") };
    Ok(([(header::CONTENT_TYPE, mime.clone())], Body::from(content.clone())).into_response())
}

async fn ping(shared: &Arc<Shared>, id: &str, call: &Call) -> Result<Response, Refusal> {
    let known = shared.world.lock().appservice.as_ref().is_some_and(|link| link.registration.id == id);
    if !known {
        return forbidden("another registration");
    }
    let transaction_id = call.json()?["transaction_id"].as_str().map(str::to_owned);
    match shared.ping(transaction_id.as_deref()).await {
        status if status.is_success() => ok(json!({ "duration_ms": 1 })),
        StatusCode::BAD_GATEWAY => refuse(502, "M_CONNECTION_FAILED", "cannot connect"),
        status => refuse(502, "M_BAD_STATUS", &format!("answered {status}")),
    }
}
