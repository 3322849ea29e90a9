//! Reactions, and what is taken back.

use ruma::EventId;

use super::{
    Place, Said, ToMatrix,
    say::{forgiving, not_now},
};
use crate::{
    bridge::{HomeserverError, content},
    dispatch::keys,
    network::{MatrixOp, Network, RemoteId},
    store::Memory,
};

impl<N: Network> ToMatrix<N> {
    pub(super) async fn react(
        &self,
        op: &MatrixOp<N>,
        target: &N::Message,
        with: &str,
        on: bool,
        place: &Place<'_>,
    ) -> Result<Said, HomeserverError> {
        let Some(target) = self.event_of(place.room_id, target).await? else { return Ok(Said::default()) };
        let author = op.sender.as_ref().map(RemoteId::encode).unwrap_or_default();
        if on {
            let event_id = self.send_as(op, "m.reaction", &content::reaction(&target, with, place.key), place).await?;
            let memory = Memory {
                author: Some(author.clone()),
                author_name: author,
                sender: self.sender(op).unwrap_or_default(),
                reaction: Some(with.to_owned()),
                target: Some(target.to_string()),
                ..Memory::default()
            };
            return Ok(Said { event_id: Some(event_id), memory: Some(memory), ..Said::default() });
        }
        let reaction = self.parts.store.reaction(target.as_str(), &author, with).await.map_err(not_now)?;
        let Some(event_id) = reaction.and_then(|row| EventId::parse(row.event_id).ok()) else {
            return Ok(Said::default());
        };
        let Some(user) = &op.sender else { return Ok(Said::default()) };
        let id = self.members.ensure_joined(place.room_id, user).await?;
        self.parts.homeserver.redact(&id, place.room_id, &event_id, place.key, None).await?;
        Ok(Said::default())
    }

    /// Makes somebody's reactions exactly these. Said again after a crash, it finds the same to do, under the same transaction ids.
    pub(super) async fn set_reactions(
        &self,
        op: &MatrixOp<N>,
        target: &N::Message,
        keys: &[String],
        place: &Place<'_>,
    ) -> Result<Said, HomeserverError> {
        let (Some(user), Some(target)) = (&op.sender, self.event_of(place.room_id, target).await?) else {
            return Ok(Said::default());
        };
        let author = user.encode();
        let there = self.parts.store.reactions(target.as_str(), &author).await.map_err(not_now)?;
        let id = self.members.ensure_joined(place.room_id, user).await?;
        let mut said = Said::default();
        for (number, row) in there.iter().enumerate() {
            let known = row.memory.reaction.as_deref();
            let twice = there[..number].iter().any(|earlier| earlier.memory.reaction.as_deref() == known);
            if !twice && keys.iter().any(|key| Some(key.as_str()) == known) {
                continue;
            }
            let Ok(event_id) = EventId::parse(row.event_id.as_str()) else { continue };
            let txn_id = format!("{}.{}", place.key, keys::key(&["take back", event_id.as_str()]));
            let done = self.parts.homeserver.redact(&id, place.room_id, &event_id, &txn_id, None).await;
            forgiving("a reaction could not be taken back", done)?;
            said.taken_back.push(event_id);
        }
        for key in keys.iter().filter(|key| !there.iter().any(|row| row.memory.reaction.as_ref() == Some(key))) {
            let txn_id = format!("{}.{}", place.key, keys::key(&["react", key]));
            let each = Place { room_id: place.room_id, key: &txn_id, turn: None };
            let content = content::reaction(&target, key, &txn_id);
            let event_id = self.send_as(op, "m.reaction", &content, &each).await?;
            let memory = Memory {
                author: Some(author.clone()),
                author_name: author.clone(),
                sender: id.to_string(),
                reaction: Some(key.clone()),
                target: Some(target.to_string()),
                ..Memory::default()
            };
            said.reactions.push((event_id, memory));
        }
        Ok(said)
    }

    /// Takes back what its sender said, and nothing that another did.
    pub(super) async fn retract(
        &self,
        op: &MatrixOp<N>,
        target: &N::Message,
        place: &Place<'_>,
    ) -> Result<Said, HomeserverError> {
        let Some(user) = &op.sender else { return Ok(Said::default()) };
        let rows =
            self.parts.store.message_by_remote(place.room_id.as_str(), &target.encode()).await.map_err(not_now)?;
        let author = user.encode();
        if rows.is_empty() || rows.iter().any(|row| row.memory.author.as_deref() != Some(author.as_str())) {
            return Ok(Said::default());
        }
        self.redact(op, target, None, place).await
    }

    pub(super) async fn redact(
        &self,
        op: &MatrixOp<N>,
        target: &N::Message,
        reason: Option<&str>,
        place: &Place<'_>,
    ) -> Result<Said, HomeserverError> {
        let rows =
            self.parts.store.message_by_remote(place.room_id.as_str(), &target.encode()).await.map_err(not_now)?;
        for (part, row) in rows.iter().enumerate() {
            let Ok(event_id) = EventId::parse(row.event_id.as_str()) else { continue };
            let txn_id = format!("{}.{part}", place.key);
            // Everybody may take back what they said; for what others said, the bot has the power, if anybody of us.
            let own = op.sender.as_ref().filter(|user| row.memory.author.as_deref() == Some(user.encode().as_str()));
            let as_user = match own {
                Some(user) => self.members.ensure_joined(place.room_id, user).await?,
                None => self.spokesman(place.room_id),
            };
            let done = self.parts.homeserver.redact(&as_user, place.room_id, &event_id, &txn_id, reason).await;
            forgiving("a message could not be taken back", done)?;
        }
        Ok(Said::default())
    }
}
