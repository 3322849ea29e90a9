//! `PUT /_matrix/app/v1/transactions/{txnId}` ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/application-service-api/#put_matrixappv1transactionstxnid

use std::{fmt, marker::PhantomData, sync::Arc};

use axum::{Json, Router, extract::State, routing::put};
use http::StatusCode;
use landbridge_axum_ruma::{MatrixError, RawRequest};
use ruma::{api::error::ErrorKind, events::AnyTimelineEvent, serde::Raw};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::Appservice;
use crate::{
    dispatch::{AcceptError, Intake, Transaction},
    metrics::Metrics,
};

/// The most events that one transaction may hold. Homeservers send 100.
pub const MAX_EVENTS: usize = 100_000;

pub(super) fn mount(routes: Router<Appservice>) -> Router<Appservice> {
    routes
        .route("/_matrix/app/v1/transactions/{txn_id}", put(put_transaction))
        .route("/transactions/{txn_id}", put(put_transaction))
}

/// Takes one batch of events from the homeserver; answers once it is durable.
#[tracing::instrument(name = "http.transactions.put", skip_all, fields(txn.id))]
async fn put_transaction(
    State(intake): State<Arc<dyn Intake>>,
    State(metrics): State<Metrics>,
    raw: RawRequest,
) -> Result<Json<serde_json::Value>, MatrixError> {
    let began = Instant::now();
    let taken = take(&*intake, raw).await;
    metrics.transaction(taken.is_ok(), began.elapsed());
    taken.map(|()| Json(serde_json::json!({})))
}

async fn take(intake: &dyn Intake, raw: RawRequest) -> Result<(), MatrixError> {
    let txn_id = raw.path.into_iter().next().unwrap_or_default();
    tracing::Span::current().record("txn.id", txn_id.as_str());
    let body = raw.request.into_body();
    let pushed = Pushed::parse(&body)?;
    if pushed.dropped > 0 {
        tracing::warn!(dropped = pushed.dropped, "a transaction holds events that are no objects");
    }
    let transaction = Transaction { txn_id: txn_id.into(), body, events: pushed.events };
    intake.ephemeral(pushed.ephemeral);
    intake.accept(transaction).await.map_err(|error| refused(&error))
}

fn refused(error: &AcceptError) -> MatrixError {
    match error {
        AcceptError::Stopping => {}
        AcceptError::Overtakes(missed) => {
            tracing::warn!(txn.missed = missed, "the homeserver left a transaction behind; asking for it");
        }
        AcceptError::Full | AcceptError::Failed(_) => tracing::error!(%error, "a transaction was not taken"),
    }
    MatrixError::new(StatusCode::SERVICE_UNAVAILABLE, ErrorKind::Unknown, "Not taken; send it again")
}

/// What a transaction holds. Public for fuzzing.
#[derive(Debug, Default)]
pub struct Pushed {
    /// The events, as they came. Each is an object, and nothing more is known of it.
    pub events: Vec<Raw<AnyTimelineEvent>>,
    /// Typing, receipts, presence.
    pub ephemeral: Vec<Box<RawValue>>,
    /// How many events were no objects.
    pub dropped: usize,
}

/// The body as homeservers write it: any field may be missing or null, and one event is no reason to refuse the others. What is
/// here for encrypted bridges (`to_device`, `device_lists`, key counts) is let through unread.
#[derive(Deserialize)]
struct Body {
    #[serde(default, deserialize_with = "list")]
    events: Items,
    #[serde(default, deserialize_with = "list")]
    ephemeral: Items,
    /// What Synapse sends for the registration's old flag, beside or instead of the stable field.
    #[serde(default, rename = "de.sorunome.msc2409.ephemeral", deserialize_with = "list")]
    old_ephemeral: Items,
}

impl Pushed {
    /// Reads a transaction's body.
    ///
    /// # Errors
    /// `M_NOT_JSON` or `M_BAD_JSON` when it is no object with lists; `M_TOO_LARGE` when it holds more than [`MAX_EVENTS`].
    pub fn parse(body: &[u8]) -> Result<Self, MatrixError> {
        std::str::from_utf8(body).map_err(|_| MatrixError::not_json("The body is not UTF-8"))?;
        let body: Body = landbridge_axum_ruma::parse_json(body)?;
        if body.events.overflow || body.ephemeral.overflow || body.old_ephemeral.overflow {
            return Err(MatrixError::too_large());
        }
        let count = body.events.list.len();
        let events: Vec<_> =
            body.events.list.into_iter().filter(|event| is_object(event)).map(Raw::from_json).collect();
        let ephemeral = if body.ephemeral.list.is_empty() { body.old_ephemeral } else { body.ephemeral };
        Ok(Self {
            dropped: count - events.len(),
            events,
            ephemeral: ephemeral.list.into_iter().filter(|item| is_object(item)).collect(),
        })
    }
}

fn is_object(json: &RawValue) -> bool {
    json.get().starts_with('{')
}

/// A list with a bound.
#[derive(Default)]
struct Items {
    list: Vec<Box<RawValue>>,
    overflow: bool,
}

fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Items, D::Error> {
    deserializer.deserialize_option(ItemsVisitor(PhantomData))
}

struct ItemsVisitor(PhantomData<()>);

impl<'de> Visitor<'de> for ItemsVisitor {
    type Value = Items;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_none<E>(self) -> Result<Items, E> {
        Ok(Items::default())
    }

    fn visit_unit<E>(self) -> Result<Items, E> {
        Ok(Items::default())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Items, D::Error> {
        deserializer.deserialize_seq(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Items, A::Error> {
        let mut list = Vec::new();
        while list.len() < MAX_EVENTS {
            match items.next_element()? {
                Some(item) => list.push(item),
                None => return Ok(Items { list, overflow: false }),
            }
        }
        let overflow = items.next_element::<IgnoredAny>()?.is_some();
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Items { list, overflow })
    }
}
