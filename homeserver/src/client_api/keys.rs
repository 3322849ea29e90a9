//! Keys of devices and users, handed from client to client ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#key-management-api

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use axum::{Json, Router, extract::State};
use http::StatusCode;
use landbridge_axum_ruma::{MatrixError, mount};
use ruma::{
    DeviceId, UserId,
    api::client::keys::{
        claim_keys::v3 as claim_keys, get_key_changes::v3 as get_key_changes, get_keys::v3 as get_keys,
        upload_keys::v3 as upload_keys, upload_signatures::v3 as upload_signatures,
        upload_signing_keys::v3 as upload_signing_keys,
    },
    encryption::DeviceKeys,
    serde::Raw,
};
use serde_json::{Map, Value, json};

use super::reply::empty;
use crate::{
    appservice::service_keys::ServiceKeys,
    devices::{
        Devices, Keys, MAX_KEYS_PER_UPLOAD, SignedKey,
        signatures::{add_signatures, is_signed, public_key},
    },
    http::{
        ApiConfig, ApiState,
        auth::Authed,
        error::ApiResult,
        uia::{Challenge, Uia, UiaError},
    },
    rooms::Rooms,
    stream::Stream,
    sync::{SyncToken, device_changes},
};

/// How many devices one query or claim may name.
const MAX_DEVICES: usize = 10_000;

/// The longest key, in bytes of JSON.
const MAX_KEY_BYTES: usize = 65_536;

const CROSS_SIGNING_KINDS: [&str; 3] = ["master", "self_signing", "user_signing"];

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    let router = mount::<upload_keys::Request, _, _, _>(router, upload);
    let router = mount::<get_keys::Request, _, _, _>(router, query);
    let router = mount::<claim_keys::Request, _, _, _>(router, claim);
    let router = mount::<get_key_changes::Request, _, _, _>(router, changes);
    let router = mount::<upload_signing_keys::Request, _, _, _>(router, upload_cross_signing);
    mount::<upload_signatures::Request, _, _, _>(router, upload_signatures)
}

fn value<T>(raw: &Raw<T>) -> ApiResult<Value> {
    let text = raw.json().get();
    if text.len() > MAX_KEY_BYTES {
        return Err(MatrixError::too_large().into());
    }
    Ok(serde_json::from_str(text).map_err(|_| MatrixError::bad_json("Not a key"))?)
}

pub(super) fn by_id<K: ToString, T>(keys: &BTreeMap<K, Raw<T>>) -> ApiResult<Vec<(String, String)>> {
    if keys.len() > MAX_KEYS_PER_UPLOAD {
        return Err(MatrixError::invalid_param("Too many keys").into());
    }
    keys.iter().map(|(id, key)| Ok((id.to_string(), value(key)?.to_string()))).collect()
}

/// Device keys, which must be those of this device, as JSON.
pub(super) fn keys_of(device_keys: &Raw<DeviceKeys>, user_id: &UserId, device_id: &DeviceId) -> ApiResult<String> {
    let keys = value(device_keys)?;
    if keys["user_id"] != user_id.as_str() || keys["device_id"] != device_id.as_str() {
        return Err(MatrixError::invalid_param("The keys are not those of this device").into());
    }
    Ok(keys.to_string())
}

/// `POST /_matrix/client/v3/keys/upload`
async fn upload(
    State(keys): State<Keys>,
    Authed { caller, body }: Authed<upload_keys::Request>,
) -> ApiResult<Json<Value>> {
    let device_id = caller.device()?;
    let device_keys = body.device_keys.as_ref().map(|keys| keys_of(keys, &caller.user_id, device_id)).transpose()?;
    let (one_time, fallback) = (by_id(&body.one_time_keys)?, by_id(&body.fallback_keys)?);
    keys.upload(&caller.user_id, device_id, device_keys.as_deref(), &one_time, &fallback).await?;
    let counts = keys.one_time_counts(&caller.user_id, device_id).await?;
    Ok(Json(json!({ "one_time_key_counts": counts })))
}

fn parsed(keys: Vec<(String, String)>) -> Map<String, Value> {
    keys.into_iter().filter_map(|(id, body)| Some((id, serde_json::from_str(&body).ok()?))).collect()
}

/// The device keys of a user, with the names its owner gave the devices.
async fn device_keys(
    keys: &Keys,
    devices: &Devices,
    user_id: &UserId,
    wanted: &[ruma::OwnedDeviceId],
) -> ApiResult<Map<String, Value>> {
    let mut found = parsed(keys.of_user(user_id).await?);
    found.retain(|id, _| wanted.is_empty() || wanted.iter().any(|wanted| wanted.as_str() == id));
    if !found.is_empty() {
        for device in devices.of_user(user_id).await? {
            let Some(Value::Object(keys)) = found.get_mut(device.device_id.as_str()) else { continue };
            if let Some(name) = device.display_name {
                keys.insert("unsigned".to_owned(), json!({ "device_display_name": name }));
            }
        }
    }
    Ok(found)
}

/// `POST /_matrix/client/v3/keys/query`
async fn query(
    State(config): State<Arc<ApiConfig>>,
    State(keys): State<Keys>,
    State(devices): State<Devices>,
    State(service_keys): State<ServiceKeys>,
    Authed { caller, body }: Authed<get_keys::Request>,
) -> ApiResult<Json<Value>> {
    if body.device_keys.len() > MAX_DEVICES {
        return Err(MatrixError::invalid_param("Too many users").into());
    }
    let (mut of_devices, mut master) = (Map::new(), Map::new());
    let (mut self_signing, mut user_signing) = (Map::new(), Map::new());
    let mut told = service_keys.query(&body.device_keys).await;
    for (user_id, wanted) in body.device_keys.iter().filter(|(user_id, _)| config.is_local(user_id)) {
        let user = user_id.to_string();
        let mut found = device_keys(&keys, &devices, user_id, wanted).await?;
        found.extend(told.device_keys.remove(&user).unwrap_or_default());
        of_devices.insert(user.clone(), found.into());
        let mut cross_signing = parsed(keys.cross_signing_of(user_id).await?);
        for kind in CROSS_SIGNING_KINDS {
            cross_signing.extend(told.cross_signing.remove(&(kind, user.clone())).map(|key| (kind.to_owned(), key)));
        }
        for (kind, key) in cross_signing {
            match kind.as_str() {
                "master" => drop(master.insert(user.clone(), with_signatures_for(key, user_id, &caller.user_id))),
                "self_signing" => drop(self_signing.insert(user.clone(), key)),
                "user_signing" if *user_id == caller.user_id => drop(user_signing.insert(user.clone(), key)),
                _ => {}
            }
        }
    }
    Ok(Json(json!({
        "failures": {},
        "device_keys": of_devices,
        "master_keys": master,
        "self_signing_keys": self_signing,
        "user_signing_keys": user_signing,
    })))
}

/// A master key with the signatures of its owner and of the reader: whom others trust is their own business.
fn with_signatures_for(mut key: Value, owner: &UserId, reader: &UserId) -> Value {
    if let Some(signatures) = key.get_mut("signatures").and_then(Value::as_object_mut) {
        signatures.retain(|user_id, _| user_id == owner.as_str() || user_id == reader.as_str());
    }
    key
}

/// `POST /_matrix/client/v3/keys/claim`
async fn claim(
    State(keys): State<Keys>,
    State(service_keys): State<ServiceKeys>,
    Authed { body, .. }: Authed<claim_keys::Request>,
) -> ApiResult<Json<Value>> {
    let mut wanted = Vec::new();
    for (user_id, devices) in &body.one_time_keys {
        for (device_id, algorithm) in devices {
            wanted.push((user_id.to_string(), device_id.to_string(), algorithm.to_string()));
        }
    }
    if wanted.len() > MAX_DEVICES {
        return Err(MatrixError::invalid_param("Too many devices").into());
    }
    wanted.retain(|(user, device, algorithm)| [user, device, algorithm].iter().all(|part| !part.contains('\0')));
    let mut claimed: BTreeMap<String, BTreeMap<String, Value>> = BTreeMap::new();
    for ((user, device, _), (key_id, key)) in from_services(&keys, &service_keys, &mut wanted).await? {
        claimed.entry(user).or_default().insert(device, json!({ key_id: key }));
    }
    let found = keys.claim(wanted.clone()).await?;
    for ((user, device, _), found) in wanted.into_iter().zip(found) {
        let Some((key_id, body)) = found else { continue };
        let Ok(body) = serde_json::from_str::<Value>(&body) else { continue };
        claimed.entry(user).or_default().insert(device, json!({ key_id: body }));
    }
    Ok(Json(json!({ "failures": {}, "one_time_keys": claimed })))
}

/// User, device and algorithm of a key.
type KeyOf = (String, String, String);

/// Claims from application services what they hold and is not stored here; what they gave is not wanted any more. A fallback key that is
/// stored here is for those of whom the service has none either.
async fn from_services(
    keys: &Keys,
    service_keys: &ServiceKeys,
    wanted: &mut Vec<KeyOf>,
) -> ApiResult<HashMap<KeyOf, (String, Value)>> {
    let mut missing = Vec::new();
    for (user, device, algorithm) in wanted.iter() {
        let Ok(user_id) = UserId::parse(user.as_str()) else { continue };
        if !service_keys.claims_for(&user_id) {
            continue;
        }
        let device_id = ruma::OwnedDeviceId::from(device.as_str());
        let stored = keys.one_time_counts(&user_id, &device_id).await?;
        if stored.get(algorithm).is_none_or(|count| *count == 0) {
            missing.push((user_id, device_id, algorithm.clone()));
        }
    }
    if missing.is_empty() {
        return Ok(HashMap::new());
    }
    let found = service_keys.claim(&missing).await;
    wanted.retain(|wanted| !found.contains_key(wanted));
    Ok(found)
}

/// `GET /_matrix/client/v3/keys/changes`
async fn changes(
    State(keys): State<Keys>,
    State(rooms): State<Rooms>,
    State(stream): State<Stream>,
    Authed { caller, body }: Authed<get_key_changes::Request>,
) -> ApiResult<Json<Value>> {
    let token = |text: &str| {
        text.parse::<SyncToken>().map_err(|_| MatrixError::invalid_param("The token is not one of this server"))
    };
    let (from, to) = (token(&body.from)?, token(&body.to)?);
    let joined = rooms.joined_rooms(&caller.user_id).await?.into_iter().collect();
    let until = to.position.min(stream.position());
    let places = (&keys, &rooms, &stream);
    let changes = device_changes(places, &caller.user_id, &joined, from.position, until).await?;
    Ok(Json(json!({ "changed": changes.changed, "left": changes.left })))
}

/// `POST /_matrix/client/v3/keys/device_signing/upload`; the first keys of a user, the same again, and those of application
/// services need no password.
async fn upload_cross_signing(
    State(keys): State<Keys>,
    State(devices): State<Devices>,
    State(uia): State<Uia>,
    Authed { caller, body }: Authed<upload_signing_keys::Request>,
) -> Result<Json<Value>, UiaError> {
    let given = [
        ("master", &body.master_key),
        ("self_signing", &body.self_signing_key),
        ("user_signing", &body.user_signing_key),
    ];
    let mut wanted = Vec::new();
    for (kind, key) in given {
        let Some(key) = key else { continue };
        let key = value(key)?;
        let is_own = |(_, public): &(&str, &str)| key["user_id"] == caller.user_id.as_str() && !public.contains('\0');
        let Some((_, public)) = public_key(&key).filter(is_own) else {
            return Err(MatrixError::invalid_param("Not a cross-signing key of this user").into());
        };
        if devices.exists(&caller.user_id, public.into()).await? {
            return Err(MatrixError::forbidden("A device is called like the key").into());
        }
        wanted.push((kind, key));
    }
    let mut may_replace = caller.appservice.is_some();
    // Once more where another request was faster: its keys are those that these ones would replace.
    loop {
        let known = parsed(keys.cross_signing_of(&caller.user_id).await?);
        check_signed_by_master(&caller.user_id, &known, &wanted)?;
        let is_same = |(kind, key): &(&str, Value)| known.get(*kind).is_some_and(|known| known["keys"] == key["keys"]);
        if !known.is_empty() && !may_replace && !wanted.iter().all(is_same) {
            uia.require(Challenge::password("cross-signing", &caller.user_id), body.auth.as_ref()).await?;
            may_replace = true;
        }
        // What is there keeps the signatures it has got since.
        let new = wanted.iter().filter(|wanted| !is_same(wanted));
        let new: Vec<(&'static str, String)> = new.map(|(kind, key)| (*kind, key.to_string())).collect();
        if new.is_empty() || keys.upload_cross_signing(&caller.user_id, &known, new).await? {
            return Ok(empty());
        }
    }
}

/// A device is not called like a cross-signing key of its user, for signatures name both in one way
/// ([spec](https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3login)).
///
/// # Errors
/// `M_FORBIDDEN`.
pub(super) async fn is_no_key(keys: &Keys, user_id: &UserId, device_id: &DeviceId) -> ApiResult<()> {
    let known = parsed(keys.cross_signing_of(user_id).await?);
    if known.values().any(|key| public_key(key).is_some_and(|(_, key)| key == device_id.as_str())) {
        return Err(MatrixError::forbidden("A cross-signing key is called so").into());
    }
    Ok(())
}

/// A device that somebody logs in on is called like no cross-signing key, and is not the one that nobody is logged in on.
///
/// # Errors
/// `M_FORBIDDEN`.
pub(super) async fn may_be_called(
    devices: &Devices,
    keys: &Keys,
    user_id: &UserId,
    device_id: &DeviceId,
) -> ApiResult<()> {
    is_no_key(keys, user_id, device_id).await?;
    if devices.dehydrated(user_id).await?.is_some_and(|(known, _)| known == device_id) {
        return Err(MatrixError::forbidden("The dehydrated device is called so").into());
    }
    Ok(())
}

/// The other keys are the user's because the master key says so, the new one or that which is there.
fn check_signed_by_master(user_id: &UserId, known: &Map<String, Value>, wanted: &[(&str, Value)]) -> ApiResult<()> {
    let new = wanted.iter().find(|(kind, _)| *kind == "master").map(|(_, key)| key);
    let others: Vec<&Value> = wanted.iter().filter(|(kind, _)| *kind != "master").map(|(_, key)| key).collect();
    let Some((id, key)) = new.or_else(|| known.get("master")).and_then(public_key) else {
        if others.is_empty() {
            return Ok(());
        }
        return Err(MatrixError::invalid_param("There is no master key").into());
    };
    if others.iter().all(|other| is_signed(other, user_id, id, key)) {
        return Ok(());
    }
    let message = "A key is not signed by the master key";
    Err(MatrixError::with_errcode(StatusCode::BAD_REQUEST, "M_INVALID_SIGNATURE", message).into())
}

/// `POST /_matrix/client/v3/keys/signatures/upload`; signatures are kept with what they sign. Only a user's own keys can be signed
/// here, but for master keys, which others sign too.
async fn upload_signatures(
    State(keys): State<Keys>,
    Authed { caller, body }: Authed<upload_signatures::Request>,
) -> ApiResult<Json<Value>> {
    let mut failures: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    let mut count = 0;
    for (user_id, signed) in &body.signed_keys {
        let signed = serde_json::to_value(signed).map_err(|_| MatrixError::bad_json("Not signatures"))?;
        let Value::Object(signed) = signed else { continue };
        for (id, object) in signed {
            count += 1;
            if count > MAX_KEYS_PER_UPLOAD {
                return Err(MatrixError::invalid_param("Too many signatures").into());
            }
            if let Err(refusal) = sign(&keys, &caller.user_id, user_id, &id, &object).await? {
                failures.entry(user_id.to_string()).or_default().insert(id, refusal);
            }
        }
    }
    Ok(Json(json!({ "failures": failures })))
}

/// Adds the signatures of one key, or says why not.
async fn sign(keys: &Keys, by: &UserId, user_id: &UserId, id: &str, object: &Value) -> ApiResult<Result<(), Value>> {
    let refusal = |errcode: &str, error: &str| Ok(Err(json!({ "errcode": errcode, "error": error })));
    let Some(new) = object["signatures"][by.as_str()].as_object() else {
        return refusal("M_INVALID_SIGNATURE", "There is no signature of yours");
    };
    let mut device_keys = parsed(keys.of_user(user_id).await?);
    let device = device_keys.remove(id).filter(|_| by == user_id);
    let cross_signing = parsed(keys.cross_signing_of(user_id).await?);
    let is_master = |key: &&Value| public_key(key).is_some_and(|(_, public)| public == id);
    let master = cross_signing.get("master").filter(is_master);
    let Some(mut target) = device.clone().or_else(|| master.cloned()) else {
        return refusal("M_NOT_FOUND", "There is no such key");
    };
    add_signatures(&mut target, by, new);
    // A key signs itself by its device or by a cross-signing key of the signer.
    let mut signers: Map<String, Value> = Map::new();
    for (device_id, keys) in parsed(keys.of_user(by).await?) {
        let name = format!("ed25519:{device_id}");
        let public = keys["keys"][&name].clone();
        signers.insert(name, public);
    }
    for key in parsed(keys.cross_signing_of(by).await?).values() {
        if let Some((name, public)) = public_key(key) {
            signers.insert(name.to_owned(), public.into());
        }
    }
    let fits = |name: &String| {
        signers.get(name).and_then(Value::as_str).is_some_and(|public| is_signed(&target, by, name, public))
    };
    if !new.keys().all(fits) {
        return refusal("M_INVALID_SIGNATURE", "The signature is not one of the key as it is here");
    }
    let key = if device.is_some() { SignedKey::Device(id.to_owned()) } else { SignedKey::Master };
    // The signatures are good for the key as it was read; whatever else is signed meanwhile stays.
    if !keys.add_signatures(user_id, key, target, by, new.clone()).await? {
        return refusal("M_NOT_FOUND", "The key is another by now");
    }
    Ok(Ok(()))
}
