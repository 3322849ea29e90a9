//! What a timeline shows.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use matrix_sdk::ruma::events::room::message::{RoomMessageEventContent, RoomMessageEventContentWithoutRelation};
use matrix_sdk_ui::timeline::{Timeline, TimelineEventItemId, TimelineItem};

use crate::until;

/// A message, before it is said to what it relates.
pub fn text(text: &str) -> RoomMessageEventContentWithoutRelation {
    RoomMessageEventContentWithoutRelation::text_plain(text)
}

/// What a timeline shows, oldest first.
pub async fn bodies(timeline: &Timeline) -> Vec<String> {
    let items = timeline.items().await;
    let body = |item: &Arc<TimelineItem>| {
        let event = item.as_event()?;
        let content = event.content();
        if content.is_redacted() {
            return Some("(redacted)".to_owned());
        }
        Some(content.as_message()?.body().to_owned())
    };
    items.iter().filter_map(body).collect()
}

/// Waits until a timeline shows something, as an event that has an id.
pub async fn shows(timeline: &Timeline, who: &str, wanted: &str) -> Result<TimelineEventItemId> {
    let mut found = None;
    until(&format!("{who} sees {wanted:?}"), async || {
        let items = timeline.items().await;
        let mut events = items.iter().filter_map(|item| item.as_event());
        found = events.find_map(|event| {
            let says = event.content().as_message().is_some_and(|message| message.body() == wanted);
            event.event_id().filter(|_| says).map(|id| TimelineEventItemId::EventId(id.to_owned()))
        });
        found.is_some()
    })
    .await?;
    found.context("it was there")
}

/// Says something.
pub async fn says(timeline: &Timeline, words: &str) -> Result<()> {
    timeline.send(RoomMessageEventContent::text_plain(words).into()).await?;
    Ok(())
}
