//! What happens.

use anyhow::{Context as _, Result, bail, ensure};
use matrix_sdk::{
    RoomState,
    encryption::VerificationState,
    notification_settings::RoomNotificationMode,
    room::edit::EditedContent,
    room_directory_search::RoomDirectorySearch,
    ruma::{
        OwnedRoomId, RoomId, RoomOrAliasId, UserId,
        api::client::{
            receipt::create_receipt::v3::ReceiptType,
            room::{
                Visibility,
                create_room::v3::{Request as Create, RoomPreset},
            },
            uiaa::{AuthData, MatrixUserIdentifier, Password, UserIdentifier},
        },
        events::room::member::MembershipState,
        user_id,
    },
};
use matrix_sdk_ui::timeline::{RoomExt as _, TimelineEventItemId};
use std::time::Duration;

use crate::{
    person::{PASSWORD, Person},
    server::Server,
    timeline::{bodies, says, shows, text},
    until,
};

fn public(name: &str) -> Create {
    let mut request = Create::new();
    request.name = Some(name.into());
    request.preset = Some(RoomPreset::PublicChat);
    request
}

fn private(name: &str, invited: &UserId) -> Create {
    let mut request = Create::new();
    request.name = Some(name.into());
    request.preset = Some(RoomPreset::PrivateChat);
    request.invite = vec![invited.to_owned()];
    request
}

fn name(person: &Person) -> Result<&UserId> {
    person.client.user_id().context("nobody is logged in")
}

fn is_in(person: &Person, room_id: &RoomId, state: RoomState) -> bool {
    person.client.get_room(room_id).is_some_and(|room| room.state() == state)
}

/// The list of rooms: all are there, the newest is first, and it says what is unread, dear and mute.
pub async fn list(alice: &Person, bob: &Person) -> Result<OwnedRoomId> {
    let mut rooms = Vec::new();
    for number in 0..45 {
        let room = alice.client.create_room(public(&format!("Room {number}"))).await?;
        bob.client.join_room_by_id(room.room_id()).await?;
        rooms.push(room.room_id().to_owned());
    }
    until("bob's list shows 45 rooms, and says so", async || bob.counts() == (45, Some(45))).await?;
    let (old_id, other_id) = (rooms.swap_remove(3), rooms.swap_remove(4));
    let old = bob.knows(&old_id).await?;
    let (of_alice, of_bob) = (alice.knows(&old_id).await?.timeline().await?, old.timeline().await?);
    says(&of_alice, "hello bob").await?;
    until("the old room comes to the top", async || bob.first().as_ref() == Some(&old_id)).await?;
    let TimelineEventItemId::EventId(hello) = shows(&of_bob, "bob", "hello bob").await? else { bail!("no id") };
    until("it is unread", async || old.num_unread_messages() == 1).await?;
    of_bob.send_single_receipt(ReceiptType::Read, hello).await?;
    until("it is read", async || old.num_unread_messages() == 0).await?;
    until("alice sees that bob has read", async || {
        let items = of_alice.items().await;
        let mut events = items.iter().filter_map(|item| item.as_event());
        name(bob).is_ok_and(|bob| events.any(|event| event.read_receipts().contains_key(bob)))
    })
    .await?;
    old.set_is_favourite(true, None).await?;
    until("it is a favourite", async || old.is_favourite()).await?;
    old.set_unread_flag(true).await?;
    until("it is marked as unread", async || old.is_marked_unread()).await?;
    let settings = bob.client.notification_settings().await;
    settings.set_room_notification_mode(&other_id, RoomNotificationMode::Mute).await?;
    until("another one is mute", async || {
        settings.get_user_defined_room_notification_mode(&other_id).await == Some(RoomNotificationMode::Mute)
    })
    .await?;
    Ok(old_id)
}

/// Answers, corrections, reactions, typing, a burst in order, and what is taken back.
pub async fn talk(alice: &Person, bob: &Person, room_id: &RoomId) -> Result<()> {
    let (with_alice, with_bob) = (alice.room(room_id)?, bob.room(room_id)?);
    let (of_alice, of_bob) = (with_alice.timeline().await?, with_bob.timeline().await?);
    let hello = shows(&of_alice, "alice", "hello bob").await?;
    let TimelineEventItemId::EventId(event_id) = shows(&of_bob, "bob", "hello bob").await? else { bail!("no id") };
    of_bob.send_reply(text("hello alice"), event_id).await?;
    shows(&of_alice, "alice", "hello alice").await?;
    of_alice.edit(&hello, EditedContent::RoomMessage(text("hello Bob!"))).await?;
    let hello = shows(&of_bob, "bob", "hello Bob!").await?;
    of_bob.toggle_reaction(&hello, "👍").await?;
    until("alice sees a reaction", async || {
        let items = of_alice.items().await;
        let mut events = items.iter().filter_map(|item| item.as_event());
        events.any(|event| event.content().reactions().is_some_and(|reactions| reactions.get("👍").is_some()))
    })
    .await?;
    let (_guard, mut typing) = with_bob.subscribe_to_typing_notifications();
    with_alice.typing_notice(true).await?;
    let who = tokio::time::timeout(Duration::from_secs(20), typing.recv()).await.context("nobody types")??;
    ensure!(who == [name(alice)?.to_owned()], "{who:?}");
    let wanted: Vec<_> = (0..60).map(|number| format!("line {number}")).collect();
    for line in &wanted {
        says(&of_alice, line).await?;
    }
    shows(&of_bob, "bob", "line 59").await?;
    let mut seen = bodies(&of_bob).await;
    seen.retain(|body| body.starts_with("line "));
    ensure!(!seen.is_empty() && wanted.ends_with(&seen), "not in order: {seen:?}");
    while !of_alice.paginate_backwards(50).await? {}
    of_alice.redact(&shows(&of_alice, "alice", "line 7").await?, Some("typo")).await?;
    Ok(())
}

/// A device that comes later pages to the beginning, and finds each line once.
pub async fn history(tablet: &Person, room_id: &RoomId) -> Result<()> {
    let timeline = tablet.knows(room_id).await?.timeline().await?;
    while !timeline.paginate_backwards(20).await? {}
    until("a new device finds all that was said, as it is now", async || {
        let all = bodies(&timeline).await;
        let lines = all.iter().filter(|body| body.starts_with("line ")).count();
        lines == 59 && ["(redacted)", "hello Bob!"].iter().all(|body| all.iter().any(|seen| seen == body))
    })
    .await?;
    tablet.leaves().await
}

/// Invitations that are taken and declined, the directory, a preview, coming by an alias, and leaving.
pub async fn coming_and_going(alice: &Person, bob: &Person) -> Result<()> {
    let room = alice.client.create_room(private("Private", name(bob)?)).await?;
    let id = room.room_id();
    until("bob is invited", async || is_in(bob, id, RoomState::Invited)).await?;
    let invited = bob.room(id)?;
    let alice_id = name(alice)?;
    until("by alice", async || {
        let by = invited.invite_details().await.ok().and_then(|details| details.inviter);
        by.is_some_and(|by| by.user_id() == alice_id)
    })
    .await?;
    invited.join().await?;
    until("bob is in, and knows the name", async || {
        invited.state() == RoomState::Joined && invited.name().as_deref() == Some("Private")
    })
    .await?;
    let other = alice.client.create_room(private("Other", name(bob)?)).await?;
    until("bob is invited again", async || is_in(bob, other.room_id(), RoomState::Invited)).await?;
    bob.room(other.room_id())?.leave().await?;
    let bob_id = name(bob)?;
    until("bob has declined", async || {
        let member = other.get_member(bob_id).await.ok().flatten();
        member.is_none_or(|member| *member.membership() == MembershipState::Leave)
    })
    .await?;
    let mut listed = public("Listed");
    listed.visibility = Visibility::Public;
    listed.room_alias_name = Some("listed".into());
    alice.client.create_room(listed).await?;
    let mut directory = RoomDirectorySearch::new(bob.client.clone());
    directory.search(Some("list".into()), 20, None).await?;
    ensure!(directory.results().0.len() == 1, "the directory has it");
    let alias = RoomOrAliasId::parse(format!("#listed:{}", name(alice)?.server_name()))?;
    let preview = bob.client.get_room_preview(&alias, vec![]).await?;
    ensure!(preview.name.as_deref() == Some("Listed") && preview.num_joined_members == 1, "{preview:?}");
    let room = bob.client.join_room_by_id_or_alias(&alias, &[]).await?;
    until("bob comes by the alias", async || is_in(bob, room.room_id(), RoomState::Joined)).await?;
    room.leave().await?;
    until("bob leaves", async || is_in(bob, room.room_id(), RoomState::Left)).await
}

/// Everybody signs their devices, and talks in a room that is encrypted. Gives the room, and alice's recovery key.
pub async fn secrets(alice: &Person, bob: &Person) -> Result<(OwnedRoomId, String)> {
    for person in [alice, bob] {
        let encryption = person.client.encryption();
        if let Err(error) = encryption.bootstrap_cross_signing_if_needed(None).await {
            let user = MatrixUserIdentifier::new(name(person)?.localpart().to_owned());
            let mut password = Password::new(UserIdentifier::Matrix(user), PASSWORD.to_owned());
            password.session = error.as_uiaa_response().context("it asks for nothing")?.session.clone();
            encryption.bootstrap_cross_signing(Some(AuthData::Password(password))).await?;
        }
    }
    let key = alice.client.encryption().recovery().enable().await.context("recovery")?;
    let room = alice.client.create_room(private("Secret", name(bob)?)).await?;
    room.enable_encryption().await?;
    let id = room.room_id();
    until("bob is invited to the secret room", async || is_in(bob, id, RoomState::Invited)).await?;
    bob.room(id)?.join().await?;
    let secret = bob.knows(id).await?;
    until("bob knows that it is encrypted", async || {
        secret.latest_encryption_state().await.is_ok_and(|state| state.is_encrypted())
    })
    .await?;
    let (of_alice, of_bob) = (alice.knows(id).await?.timeline().await?, secret.timeline().await?);
    says(&of_alice, "a secret").await?;
    shows(&of_bob, "bob", "a secret").await?;
    says(&of_bob, "kept").await?;
    shows(&of_alice, "alice", "kept").await?;
    alice.client.encryption().backups().wait_for_steady_state().await?;
    Ok((id.to_owned(), key))
}

/// A new device is verified by the recovery key, and reads what was said before it was there.
pub async fn recovery(phone: &Person, room_id: &RoomId, key: &str) -> Result<()> {
    let room = phone.knows(room_id).await?;
    let encryption = phone.client.encryption();
    encryption.recovery().recover(key).await?;
    until("the phone is verified", async || encryption.verification_state().get() == VerificationState::Verified)
        .await?;
    let timeline = room.timeline().await?;
    while !timeline.paginate_backwards(20).await? {}
    shows(&timeline, "the phone", "a secret").await?;
    shows(&timeline, "the phone", "kept").await.map(drop)
}

/// The server is killed; what is said meanwhile arrives once when it is back.
pub async fn crash(server: &mut Server, [alice, bob, phone]: [&Person; 3], room_id: &RoomId) -> Result<()> {
    let (of_alice, of_bob) = (alice.room(room_id)?.timeline().await?, bob.room(room_id)?.timeline().await?);
    let of_phone = phone.room(room_id)?.timeline().await?;
    server.kill()?;
    let wanted: Vec<_> = (0..5).map(|number| format!("meanwhile {number}")).collect();
    for line in &wanted {
        says(&of_alice, line).await?;
    }
    until("alice's device gives up", async || !alice.room(room_id).is_ok_and(|room| room.send_queue().is_enabled()))
        .await?;
    server.again()?;
    // As the application does when the network is back.
    alice.client.send_queue().set_enabled(true).await;
    shows(&of_bob, "bob", "meanwhile 4").await?;
    // The server knows their connections no more: what they had not yet seen before the last words is asked for.
    while !of_bob.paginate_backwards(20).await? {}
    for line in &wanted {
        shows(&of_bob, "bob", line).await?;
    }
    says(&of_bob, "after the crash").await?;
    shows(&of_phone, "the phone", "after the crash").await?;
    let mut seen = bodies(&of_bob).await;
    seen.retain(|body| body.starts_with("meanwhile "));
    ensure!(seen == wanted, "once, and in order: {seen:?}");
    Ok(())
}

/// A name, devices, and whom one ignores.
pub async fn account(bob: &Person) -> Result<()> {
    let account = bob.client.account();
    account.set_display_name(Some("Bob Who Builds")).await?;
    ensure!(account.get_display_name().await?.as_deref() == Some("Bob Who Builds"), "the name stays");
    let devices = bob.client.devices().await?.devices;
    ensure!(devices.len() == 1, "the tablet has logged out: {devices:?}");
    account.ignore_user(user_id!("@troll:localhost")).await?;
    until("a troll is ignored", async || bob.client.is_user_ignored(user_id!("@troll:localhost")).await).await
}
