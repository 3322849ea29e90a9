//! Reactions: nobody reacts twice in the same way
//! (<https://spec.matrix.org/v1.19/client-server-api/#avoiding-duplicate-annotations>).

use ruma::{OwnedEventId, events::TimelineEventType};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Event, Outgoing, RoomError, core::Core};

/// What is annotated, and how.
#[derive(Debug, PartialEq, Eq)]
struct Annotation {
    target: OwnedEventId,
    key: String,
}

impl Annotation {
    /// The annotation that a content is, if it is one with a key.
    fn of(content: &RawValue) -> Option<Self> {
        #[derive(Deserialize)]
        struct Content {
            #[serde(rename = "m.relates_to")]
            relates_to: RelatesTo,
        }
        #[derive(Deserialize)]
        struct RelatesTo {
            rel_type: String,
            event_id: OwnedEventId,
            key: String,
        }
        if !content.get().contains("m.relates_to") {
            return None;
        }
        let Content { relates_to } = serde_json::from_str(content.get()).ok()?;
        let RelatesTo { rel_type, event_id, key } = relates_to;
        (rel_type == "m.annotation").then_some(Self { target: event_id, key })
    }
}

impl Core {
    /// Refuses a reaction of the same sender, type and key as one that stands. Only the room's task sees those that are not committed
    /// yet, so it is decided here.
    ///
    /// # Errors
    /// [`RoomError::DuplicateAnnotation`], and [`RoomError::Unavailable`] where the database fails.
    pub(super) async fn check_annotation(&self, outgoing: &Outgoing) -> Result<(), RoomError> {
        let Some(annotation) = Annotation::of(&outgoing.content) else { return Ok(()) };
        let is_same = |event: &Event| {
            event.sender == outgoing.sender
                && event.redacted_by().is_none()
                && event.kind.to_string() == outgoing.kind
                && Annotation::of(&event.content).is_some_and(|other| other == annotation)
                && !self.is_being_redacted(event)
        };
        let waiting = self.fresh.events().any(|event| is_same(event));
        if waiting || self.stored_annotations(&annotation, outgoing).await?.iter().any(|event| is_same(event)) {
            return Err(RoomError::DuplicateAnnotation);
        }
        Ok(())
    }

    async fn stored_annotations(
        &self,
        annotation: &Annotation,
        outgoing: &Outgoing,
    ) -> Result<Vec<std::sync::Arc<Event>>, RoomError> {
        let store = &self.context.store;
        let nids = store.annotations(self.room.nid, &annotation.target, &outgoing.sender).await?;
        Ok(store.events(&nids).await?)
    }

    /// Whether a redaction of the event is queued that is not committed yet.
    fn is_being_redacted(&self, event: &Event) -> bool {
        self.fresh.events().any(|other| {
            other.kind == TimelineEventType::RoomRedaction
                && !other.flags.rejected
                && other.redacts.as_deref() == Some(&*event.event_id)
        })
    }
}
