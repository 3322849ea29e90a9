//! The homeserver's side towards the application service: transactions, queries, ping.

use std::{collections::BTreeSet, sync::Arc};

use axum::{Router, body::Body};
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use landbridge_registration::{NamespaceMatcher, Registration};
use ruma::{RoomAliasId, UserId};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::{PushFault, Shared};

/// An application service that is registered.
#[derive(Clone)]
pub(super) struct Link {
    pub(super) registration: Registration,
    matcher: NamespaceMatcher,
    /// Where it is; none while it is down.
    pub(super) router: Option<Router>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("id", &self.registration.id).finish_non_exhaustive()
    }
}

impl Link {
    pub(super) fn new(registration: Registration, matcher: NamespaceMatcher) -> Self {
        Self { registration, matcher, router: None }
    }

    pub(super) fn is_ours(&self, user_id: &str) -> bool {
        UserId::parse(user_id).is_ok_and(|user_id| self.matcher.user(&user_id).is_interesting())
    }

    pub(super) fn is_our_alias(&self, alias: &str) -> bool {
        RoomAliasId::parse(alias).is_ok_and(|alias| self.matcher.alias(&alias).is_interesting())
    }

    pub(super) fn sender(&self) -> &str {
        self.matcher.sender().as_str()
    }

    async fn call(&self, method: Method, path: &str, body: &Value) -> StatusCode {
        let Some(router) = self.router.clone() else { return StatusCode::BAD_GATEWAY };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.registration.hs_token.reveal()))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_string()));
        let Ok(request) = request else { return StatusCode::BAD_REQUEST };
        let response = router.oneshot(request).await.unwrap_or_else(|never| match never {});
        let status = response.status();
        let _ = response.into_body().collect().await;
        status
    }
}

/// The most events in a transaction, as Synapse has it.
const BATCH: usize = 100;

/// One transaction.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    id: u64,
    body: Value,
}

impl Shared {
    /// Pushes whatever is queued, one transaction at a time, each until it is taken, as long as the homeserver lives.
    pub(super) async fn push_forever(self: Arc<Self>) {
        let mut changes = self.changes.subscribe();
        loop {
            changes.mark_unchanged();
            match self.next_batch() {
                Some((link, batch, fault)) => {
                    self.push(&link, batch, fault).await;
                    self.landed();
                }
                None => {
                    if changes.changed().await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn next_batch(&self) -> Option<(Link, Batch, Option<PushFault>)> {
        let mut world = self.world.lock();
        if world.paused {
            return None;
        }
        let link = world.appservice.clone()?;
        link.router.as_ref()?;
        if world.queue.is_empty() && world.ephemeral.is_empty() {
            return None;
        }
        let fault = world.faults.pushes.pop_front();
        // Two that change places must be two.
        let size = if fault == Some(PushFault::Reordered) { 1 } else { BATCH };
        let count = world.queue.len().min(size);
        let events: Vec<Value> = world.queue.drain(..count).collect();
        let ephemeral: Vec<Value> = world.ephemeral.drain(..).collect();
        world.next_txn += 1;
        world.in_flight += 1;
        let body = json!({ "events": events, "ephemeral": ephemeral });
        Some((link, Batch { id: world.next_txn, body }, fault))
    }

    async fn push(&self, link: &Link, mut batch: Batch, fault: Option<PushFault>) {
        match fault {
            None => {}
            Some(PushFault::Duplicated) => self.until_taken(link, &batch).await,
            Some(PushFault::DuplicatedAtOnce) => {
                tokio::join!(self.until_taken(link, &batch), self.until_taken(link, &batch));
                return;
            }
            Some(PushFault::AnswerLost) => self.until_taken(link, &batch).await,
            Some(PushFault::AnswerLostAndRenamed) => {
                self.until_taken(link, &batch).await;
                let mut world = self.world.lock();
                world.next_txn += 1;
                batch.id = world.next_txn;
            }
            Some(PushFault::AnswerLostAndGrown) => {
                self.until_taken(link, &batch).await;
                self.grow(&mut batch).await;
            }
            Some(PushFault::LeftBehind) => {
                self.left_behind.lock().push(batch);
                return;
            }
            Some(PushFault::Reordered) => {
                if let Some((link, next, _)) = self.next_batch() {
                    self.until_taken(&link, &next).await;
                    self.landed();
                }
            }
        }
        self.until_taken(link, &batch).await;
    }

    /// Adds what waits, once something does.
    async fn grow(&self, batch: &mut Batch) {
        let mut changes = self.changes.subscribe();
        loop {
            changes.mark_unchanged();
            let more: Vec<Value> = self.world.lock().queue.drain(..).collect();
            if let (false, Some(events)) = (more.is_empty(), batch.body["events"].as_array_mut()) {
                events.extend(more);
                return;
            }
            // Told once more at the latest when the homeserver ends, with the task that this is.
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Sends one transaction until it is answered with success; wherever the application service is by then.
    async fn until_taken(&self, link: &Link, batch: &Batch) {
        let path = format!("/_matrix/app/v1/transactions/{}", batch.id);
        let mut changes = self.changes.subscribe();
        let mut link = link.clone();
        loop {
            changes.mark_unchanged();
            if link.call(Method::PUT, &path, &batch.body).await.is_success() {
                self.taken(batch);
                return;
            }
            // What was left behind is the oldest.
            let oldest: Vec<Batch> = self.left_behind.lock().drain(..).filter(|left| left.id != batch.id).collect();
            for left in oldest {
                Box::pin(self.until_taken(&link, &left)).await;
            }
            // Tries again when something changes, or a little later: a real homeserver backs off.
            let pause = tokio::time::sleep(std::time::Duration::from_millis(50));
            tokio::select! { () = pause => {}, _ = changes.changed() => {} }
            if let Some(current) = self.world.lock().appservice.clone() {
                link = current;
            }
        }
    }

    fn landed(&self) {
        self.world.lock().in_flight -= 1;
        self.changed();
    }

    fn taken(&self, batch: &Batch) {
        let mut taken = self.taken.lock();
        let ids = batch.body["events"].as_array().into_iter().flatten().filter_map(|event| event["event_id"].as_str());
        taken.extend(ids.map(str::to_owned));
        drop(taken);
        self.changed();
    }

    /// Asks the application service whether an alias can be had.
    pub(super) async fn query_alias(&self, alias: &str) -> bool {
        let link = self.world.lock().appservice.clone().filter(|link| link.is_our_alias(alias));
        let Some(link) = link else { return false };
        let path = format!("/_matrix/app/v1/rooms/{}", super::escape(alias));
        link.call(Method::GET, &path, &Value::Null).await.is_success()
    }

    /// Asks the application service whether a user can be had.
    pub(super) async fn query_user(&self, user_id: &str) -> bool {
        let link = self.world.lock().appservice.clone().filter(|link| link.is_ours(user_id));
        let Some(link) = link else { return false };
        let path = format!("/_matrix/app/v1/users/{}", super::escape(user_id));
        link.call(Method::GET, &path, &Value::Null).await.is_success()
    }

    pub(super) async fn ping(&self, transaction_id: Option<&str>) -> StatusCode {
        let link = self.world.lock().appservice.clone();
        let Some(link) = link else { return StatusCode::NOT_FOUND };
        let body = transaction_id.map_or_else(|| json!({}), |id| json!({ "transaction_id": id }));
        link.call(Method::POST, "/_matrix/app/v1/ping", &body).await
    }
}

/// Which events the application service has taken.
pub(super) type Taken = BTreeSet<String>;
