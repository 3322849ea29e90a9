//! Users, aliases and third-party networks that a service is asked about.

use serde_json::{Value, json};

use crate::support::{Server, bridged, irc_registration, virtual_user};

#[tokio::test]
async fn it_is_asked_for_users_before_it_hears_of_them() {
    let (server, service) = bridged().await;
    let alice = server.person("alice").await;
    let dave = json!({ "type": "m.login.application_service", "username": "irc_dave" });
    service.makes(&server, "/_matrix/app/v1/users/%40irc_dave%3Alocalhost", "register", dave);
    let room = alice.creates_room(json!({})).await;
    alice.post(&format!("rooms/{room}/invite"), json!({ "user_id": "@irc_dave:localhost" })).await.ok();
    service.until(|service| !service.events().is_empty()).await;
    let calls: Vec<String> = service.calls().into_iter().map(|call| call.path).collect();
    assert!(calls[0].contains("/users/") && calls[1].contains("/transactions/"), "{calls:?}");
    virtual_user(&server, "irc_dave").joins(&room).await;
}

#[tokio::test]
async fn it_makes_rooms_when_somebody_looks_for_them() {
    let (server, service) = bridged().await;
    let alice = server.person("alice").await;
    let lobby = json!({ "preset": "public_chat", "room_alias_name": "irc_lobby" });
    service.makes(&server, "/_matrix/app/v1/rooms/%23irc_lobby%3Alocalhost", "createRoom", lobby);
    alice.joins("#irc_lobby:localhost").await;
    alice.post("join/%23irc_nowhere:localhost", json!({})).await.refused(404, "M_NOT_FOUND");
    alice.get("directory/room/%23tea:localhost").await.refused(404, "M_NOT_FOUND");
    let asked: Vec<String> =
        service.calls().into_iter().map(|call| call.path).filter(|path| path.contains("/rooms/")).collect();
    assert_eq!(asked.len(), 2, "it is not asked for aliases of others: {asked:?}");
    // The room is its own by the alias: it hears what is said there.
    let room = alice.get("joined_rooms").await.ok()["joined_rooms"][0].as_str().unwrap().to_owned();
    alice.says(&room, "hello lobby").await;
    service.hears("hello lobby").await;
}

#[tokio::test]
async fn its_aliases_are_kept_for_it() {
    let (server, _service) = bridged().await;
    let alice = server.person("alice").await;
    let room = alice.creates_room(json!({})).await;
    let alias = "directory/room/%23irc_tea:localhost";
    alice.put(alias, json!({ "room_id": room })).await.refused(400, "M_EXCLUSIVE");
    alice.post("createRoom", json!({ "room_alias_name": "irc_tea" })).await.refused(400, "M_EXCLUSIVE");
    virtual_user(&server, "ircbot").call("PUT", alias, Some(json!({ "room_id": room }))).await.ok();
    alice.call("DELETE", alias, None).await.refused(400, "M_EXCLUSIVE");
    virtual_user(&server, "ircbot").call("DELETE", alias, None).await.ok();
}

#[tokio::test]
async fn third_party_networks_are_described_by_their_services() {
    let server = Server::start().await;
    let mut registration = irc_registration();
    registration.protocols = vec!["irc".to_owned(), "broken".to_owned()];
    let protocol = json!({ "user_fields": ["nick"], "location_fields": ["channel"], "icon": "mxc://localhost/i",
        "field_types": {}, "instances": [{ "desc": "Libera", "network_id": "libera", "fields": {} }] });
    let answer = {
        let protocol = protocol.clone();
        move |uri: http::Uri| {
            let protocol = protocol.clone();
            async move {
                axum::Json(match uri.path() {
                    "/_matrix/app/v1/thirdparty/protocol/irc" => protocol,
                    "/_matrix/app/v1/thirdparty/location/irc" => {
                        assert_eq!(uri.query(), Some("channel=%23tea"));
                        json!([{ "alias": "#irc_tea:localhost", "protocol": "irc", "fields": {} }, { "nonsense": 1 }])
                    }
                    _ => json!({ "nonsense": true }),
                })
            }
        }
    };
    let router = axum::Router::new().fallback(answer);
    let transport = std::sync::Arc::new(landbridge_homeserver::appservice::InProcess::new(router));
    server.hs.add_appservice_over(registration, transport).await.unwrap();
    let alice = server.person("alice").await;
    let all = alice.get("thirdparty/protocols").await.ok();
    assert_eq!(all.as_object().unwrap().keys().collect::<Vec<_>>(), ["irc"]);
    assert_eq!(all["irc"]["instances"][0]["instance_id"], "irc|libera");
    alice.get("thirdparty/protocol/broken").await.refused(404, "M_NOT_FOUND");
    let found = alice.get("thirdparty/location/irc?channel=%23tea").await.ok();
    assert_eq!(found.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn each_network_has_a_directory_of_its_own() {
    let (server, _service) = bridged().await;
    let alice = server.person("alice").await;
    let (tea, coffee) =
        (alice.creates_room(json!({ "name": "Tea" })).await, alice.creates_room(json!({ "name": "Coffee" })).await);
    let bot = virtual_user(&server, "ircbot");
    let publish = |room: &str, visibility: &str| {
        let path = format!("directory/list/appservice/libera/{room}");
        (path, json!({ "visibility": visibility }))
    };
    let (path, public) = publish(&tea, "public");
    bot.call("PUT", &path, Some(public.clone())).await.ok();
    alice.put(&path, public).await.refused(403, "M_FORBIDDEN");
    alice.put(&format!("directory/list/room/{coffee}"), json!({ "visibility": "public" })).await.ok();
    let names = async |body: Value| -> Vec<String> {
        let found = alice.post("publicRooms", body).await.ok();
        let mut names: Vec<String> =
            found["chunk"].as_array().unwrap().iter().map(|room| room["name"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(names(json!({})).await, ["Coffee"]);
    assert_eq!(names(json!({ "third_party_instance_id": "irc|libera" })).await, ["Tea"]);
    assert!(names(json!({ "third_party_instance_id": "irc|oftc" })).await.is_empty());
    assert_eq!(names(json!({ "include_all_networks": true })).await, ["Coffee", "Tea"]);
    let (nowhere, public) = publish("!nowhere:localhost", "public");
    bot.call("PUT", &nowhere, Some(public)).await.refused(404, "M_NOT_FOUND");
    let (path, private) = publish(&tea, "private");
    bot.call("PUT", &path, Some(private)).await.ok();
    assert!(names(json!({ "third_party_instance_id": "irc|libera" })).await.is_empty());
}
