//! What a timeline shows.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
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

/// Waits until a timeline shows something.
pub async fn shows(timeline: &Timeline, who: &str, wanted: &str) -> Result<TimelineEventItemId> {
    until(&format!("{who} sees {wanted:?}"), async || bodies(timeline).await.iter().any(|body| body == wanted)).await?;
    id_of(timeline, wanted).await
}

/// The event that says something, once it has an id.
pub async fn id_of(timeline: &Timeline, wanted: &str) -> Result<TimelineEventItemId> {
    let began = Instant::now();
    loop {
        for item in &timeline.items().await {
            if let Some(event) = item.as_event()
                && event.content().as_message().is_some_and(|message| message.body() == wanted)
                && let Some(id) = event.event_id()
            {
                return Ok(TimelineEventItemId::EventId(id.to_owned()));
            }
        }
        ensure!(began.elapsed() < Duration::from_secs(30), "{wanted:?} has no id");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

/// Says something.
pub async fn says(timeline: &Timeline, words: &str) -> Result<()> {
    timeline.send(RoomMessageEventContent::text_plain(words).into()).await?;
    Ok(())
}
