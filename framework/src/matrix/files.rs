//! Files that an event only says where to find on the web: fetched, stored in Matrix, and named by that in the event.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::{Body, HttpBody};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _};
use http_body_util::combinators::UnsyncBoxBody;
use landbridge_outward::{Outward, Reach};
use parking_lot::Mutex;
use ruma::OwnedMxcUri;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use url::Url;

use super::{Assertion, Client, ClientError};
use crate::bridge::{HomeserverError, content};

/// How long one file may take: the room whose event brings it waits.
const PATIENCE: Duration = Duration::from_secs(20);
/// How many redirections are followed.
const REDIRECTIONS: usize = 3;
/// How many are fetched at once.
const AT_ONCE: usize = 4;
/// The largest file that is held in memory, in bytes, where its server does not say beforehand how large it is: homeservers want to know.
const MOST_UNSIZED: usize = 8 << 20;
/// How many files are remembered, so that a second attempt to send an event does not store its file again.
const MOST_KNOWN: usize = 256;

/// Brings files.
#[derive(Clone, Debug)]
pub struct WebFiles(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    web: Outward,
    max: u64,
    permits: Semaphore,
    known: Mutex<VecDeque<(String, Stored)>>,
}

/// A file that Matrix has.
#[derive(Debug, Clone)]
struct Stored {
    mxc: OwnedMxcUri,
    mime: String,
}

/// Why Matrix does not have it.
enum NotStored {
    /// The homeserver is not there: later.
    Later(HomeserverError),
    /// The file cannot be had, or nobody wants it.
    Never(String),
}

impl WebFiles {
    /// Fetches what `reach` allows, at most `max` bytes each.
    ///
    /// # Errors
    /// Where there is no TLS to be had.
    pub fn new(reach: Reach, max: u64) -> Result<Self, reqwest::Error> {
        let web = Outward::following(reach, PATIENCE, REDIRECTIONS)?;
        Ok(Self(Arc::new(Inner { web, max, permits: Semaphore::new(AT_ONCE), known: Mutex::default() })))
    }

    /// The content of an event with its file in Matrix; with a link where that cannot be. `key` names the event in every attempt.
    pub(super) async fn bring(&self, client: &Client, content: &Value, key: &str) -> Result<Value, HomeserverError> {
        let Some((mut content, url)) = content::take_web_file(content) else { return Ok(content.clone()) };
        match self.stored(client, &url, &content, key).await {
            Ok(Stored { mxc, mime }) => {
                content["url"] = json!(mxc);
                content["msgtype"] = content::msgtype(&mime).into();
                content["info"]["mimetype"] = mime.into();
                Ok(content)
            }
            Err(NotStored::Later(error)) => Err(error),
            Err(NotStored::Never(why)) => {
                tracing::info!(why, "a file is only linked to");
                Ok(content::linked(content, &url))
            }
        }
    }

    async fn stored(&self, client: &Client, url: &str, content: &Value, key: &str) -> Result<Stored, NotStored> {
        let known = || self.0.known.lock().iter().find(|(known, _)| known == key).map(|(_, stored)| stored.clone());
        if let Some(stored) = known() {
            return Ok(stored);
        }
        let name = content["filename"].as_str().unwrap_or("file");
        let claimed = content["info"]["mimetype"].as_str();
        let stored = self.store(client, url, name, claimed).await?;
        let mut known = self.0.known.lock();
        if known.len() >= MOST_KNOWN {
            known.pop_front();
        }
        known.push_back((key.to_owned(), stored.clone()));
        Ok(stored)
    }

    async fn store(&self, client: &Client, url: &str, name: &str, claimed: Option<&str>) -> Result<Stored, NotStored> {
        let _permit = self.0.permits.acquire().await;
        let never = |error: reqwest::Error| NotStored::Never(error.without_url().to_string());
        let url = Url::parse(url).ok().filter(|url| self.0.web.admits(url));
        let url = url.ok_or_else(|| NotStored::Never("the address is not public".to_owned()))?;
        let found =
            self.0.web.client().get(url).send().await.and_then(reqwest::Response::error_for_status).map_err(never)?;
        if found.content_length().is_some_and(|length| length > self.0.max) {
            return Err(NotStored::Never("it is too large".to_owned()));
        }
        let mime = media_type(&found).or_else(|| claimed.map(str::to_owned));
        let mime = mime.unwrap_or_else(|| "application/octet-stream".to_owned());
        let broken = Arc::new(AtomicBool::new(false));
        let mxc = match found.content_length() {
            Some(length) => {
                let file = Sized { stream: Box::pin(found.bytes_stream()), left: length, broken: Arc::clone(&broken) };
                let body = Body::new(UnsyncBoxBody::new(file));
                client.upload_stream(&Assertion::BOT, name, &mime, body, self.0.max).await
            }
            None => client.upload(&Assertion::BOT, name, &mime, whole(found, self.0.max).await?).await,
        };
        match mxc {
            Ok(mxc) => Ok(Stored { mxc, mime }),
            // What was fetched broke off, not the homeserver.
            Err(error) if broken.load(Ordering::Relaxed) => Err(NotStored::Never(error.to_string())),
            Err(
                error @ (ClientError::Unavailable(_) | ClientError::LimitExceeded { .. } | ClientError::UnknownToken),
            ) => Err(NotStored::Later(error.into())),
            Err(error) => Err(NotStored::Never(error.to_string())),
        }
    }
}

/// What its server says it is, without parameters.
fn media_type(found: &reqwest::Response) -> Option<String> {
    let header = found.headers().get(http::header::CONTENT_TYPE)?.to_str().ok()?;
    let mime = header.split(';').next()?.trim().to_ascii_lowercase();
    (mime.contains('/') && mime != "application/octet-stream").then_some(mime)
}

async fn whole(found: reqwest::Response, max: u64) -> Result<Bytes, NotStored> {
    let most = usize::try_from(max).unwrap_or(usize::MAX).min(MOST_UNSIZED);
    let (mut all, mut chunks) = (BytesMut::new(), found.bytes_stream());
    while let Some(chunk) = chunks.next().await {
        all.extend_from_slice(&chunk.map_err(|error| NotStored::Never(error.without_url().to_string()))?);
        if all.len() > most {
            return Err(NotStored::Never("it is too large".to_owned()));
        }
    }
    Ok(all.freeze())
}

/// A stream of a length that is known: homeservers refuse others.
struct Sized {
    stream: Pin<Box<dyn Stream<Item = Result<Bytes, reqwest::Error>> + Send>>,
    left: u64,
    /// Told when the stream ends otherwise than it said.
    broken: Arc<AtomicBool>,
}

impl HttpBody for Sized {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, axum::BoxError>>> {
        let next = ready!(self.stream.poll_next_unpin(cx));
        let broke = |this: &Self, why: axum::BoxError| {
            this.broken.store(true, Ordering::Relaxed);
            Poll::Ready(Some(Err(why)))
        };
        match next {
            None if self.left == 0 => Poll::Ready(None),
            None => broke(&self, "the file ends too early".into()),
            Some(Err(error)) => broke(&self, error.without_url().into()),
            Some(Ok(chunk)) => match self.left.checked_sub(chunk.len() as u64) {
                Some(left) => {
                    self.left = left;
                    Poll::Ready(Some(Ok(http_body::Frame::data(chunk))))
                }
                None => broke(&self, "the file is longer than it said".into()),
            },
        }
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(self.left)
    }
}
