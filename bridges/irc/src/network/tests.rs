//! The network against a recorder in place of the framework.

use landbridge::network::{Network as _, RoomKind};
use ruma::user_id;

use super::*;

mod recorder;

use recorder::network;

#[tokio::test]
async fn aliases_and_localparts_name_rooms_and_users_of_irc() {
    let (network, _) = network("{}").await;
    let room = network.room_from_alias("#lobby").unwrap();
    assert_eq!(room, IrcRoom::channel("#Lobby").unwrap());
    assert_eq!(network.room_alias(&room).as_deref(), Some("#lobby"));
    assert_eq!(network.room_from_alias("lobby"), None);
    assert_eq!(network.room_from_alias("pm=20bob=20=40alice=3ahere"), None);
    let bob = network.user_from_localpart("bob").unwrap();
    assert_eq!(network.user_localpart(&bob), "bob");
    assert_eq!(network.user_from_localpart("Bob"), None);
    // On a server that folds as RFC 1459 does, `bob[1]` is `bob{1}`.
    assert_eq!(network.user_from_localpart("bob=5b1=5d"), None);
    assert!(network.user_from_localpart("bob=7b1=7d").is_some());
    let direct = network.direct_room(user_id!("@alice:here"), &bob).unwrap();
    assert_eq!(network.room_kind(&direct), RoomKind::Direct { owner: user_id!("@alice:here").to_owned(), with: bob });
    assert_eq!(network.room_alias(&direct), None);
}
