//! What a page that somebody links to says of itself ([spec])
//!
//! Pages are fetched for users, so nothing of this server's own network is: see [`crate::outward`]. Off unless configured.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1mediapreview_url

mod page;

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::BytesMut;
use futures_util::StreamExt as _;
use http::header;
use parking_lot::Mutex;
use ruma::OwnedServerName;
use serde_json::{Map, Value, json};
use tokio::{sync::Semaphore, time::Instant};
use url::Url;

use self::page::{Page, text};
use super::{Media, Upload, picture};
use crate::outward::{Outward, Reach};

/// The most that is read of a page, in bytes. What comes after is not looked at.
const MAX_PAGE: usize = 512 * 1024;

/// The largest picture that is kept, in bytes. A page whose picture is larger has none.
const MAX_PICTURE: usize = 10 * 1024 * 1024;

/// How many redirects are followed.
const MAX_REDIRECTS: usize = 5;

/// How long the page and its picture may take together.
const PATIENCE: Duration = Duration::from_secs(15);

/// How many pages are fetched at once; others wait.
const AT_ONCE: usize = 8;

/// For how long, and for how many addresses, an answer is remembered. At the bound the oldest half is forgotten.
const REMEMBERED: Duration = Duration::from_secs(60 * 60);
const MAX_REMEMBERED: usize = 1000;

/// The longest address, in bytes.
const MAX_URL: usize = 4096;

/// Why there is no preview. Clients are not told more: what can be reached from here is not theirs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PreviewError {
    /// Not an address of the web.
    #[error("the url is no http or https address")]
    NotAnAddress,
    /// It could not be fetched, or must not be.
    #[error("the page could not be fetched")]
    Unreachable,
}

/// Fetches pages.
#[derive(Clone)]
pub(crate) struct Previews {
    inner: Arc<Inner>,
}

struct Inner {
    outward: Outward,
    media: Media,
    server_name: OwnedServerName,
    slots: Semaphore,
    known: Mutex<HashMap<String, (Instant, Arc<Value>)>>,
}

/// What was fetched.
struct Fetched {
    url: Url,
    content_type: String,
    bytes: BytesMut,
    /// Whether there was more.
    cut: bool,
}

impl Previews {
    pub(crate) fn new(reach: Reach, media: Media, server_name: OwnedServerName) -> Result<Self, reqwest::Error> {
        let (outward, slots) = (Outward::new(reach, PATIENCE)?, Semaphore::new(AT_ONCE));
        Ok(Self { inner: Arc::new(Inner { outward, media, server_name, slots, known: Mutex::default() }) })
    }

    /// What a page says of itself, by the names of OpenGraph; an empty object where it says nothing.
    pub(crate) async fn preview(&self, url: &str) -> Result<Arc<Value>, PreviewError> {
        let parsed = Url::parse(url).ok().filter(|_| url.len() <= MAX_URL).ok_or(PreviewError::NotAnAddress)?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(PreviewError::NotAnAddress);
        }
        if let Some(known) = self.known(url) {
            return Ok(known);
        }
        let _slot = self.inner.slots.acquire().await.map_err(|_| PreviewError::Unreachable)?;
        let made = tokio::time::timeout(PATIENCE, self.make(parsed)).await;
        let made = Arc::new(made.map_err(|_| PreviewError::Unreachable)??);
        self.remember(url, made.clone());
        Ok(made)
    }

    fn known(&self, url: &str) -> Option<Arc<Value>> {
        let known = self.inner.known.lock();
        known.get(url).filter(|(at, _)| at.elapsed() < REMEMBERED).map(|(_, made)| made.clone())
    }

    fn remember(&self, url: &str, made: Arc<Value>) {
        let mut known = self.inner.known.lock();
        if known.len() >= MAX_REMEMBERED {
            known.retain(|_, (at, _)| at.elapsed() < REMEMBERED);
        }
        if known.len() >= MAX_REMEMBERED {
            let mut ages: Vec<Instant> = known.values().map(|(at, _)| *at).collect();
            let (_, &mut middle, _) = ages.select_nth_unstable(MAX_REMEMBERED / 2);
            known.retain(|_, (at, _)| *at > middle);
        }
        known.insert(url.to_owned(), (Instant::now(), made));
    }

    async fn make(&self, url: Url) -> Result<Value, PreviewError> {
        let fetched = self.fetch(url, MAX_PICTURE).await?;
        if fetched.content_type.starts_with("image/") {
            let mut told = Map::new();
            let name = fetched.url.path_segments().and_then(|mut parts| parts.next_back()).unwrap_or_default();
            told.insert("og:title".to_owned(), name.into());
            self.keep_picture(&fetched, &mut told).await;
            return Ok(told.into());
        }
        if !matches!(fetched.content_type.as_str(), "text/html" | "application/xhtml+xml") {
            return Ok(json!({}));
        }
        let Page { mut told, picture } = Page::read(&text(&fetched.bytes));
        if let Some(picture) = picture.and_then(|picture| fetched.url.join(&picture).ok()) {
            // A page without its picture is still a page.
            if let Ok(picture) = self.fetch(picture, MAX_PICTURE).await {
                self.keep_picture(&picture, &mut told).await;
            }
        }
        Ok(told.into())
    }

    /// Keeps a picture as a file of this server, and says where it is.
    async fn keep_picture(&self, fetched: &Fetched, told: &mut Map<String, Value>) {
        if fetched.cut {
            return;
        }
        let Some((content_type, (width, height))) = picture::measure(&fetched.bytes) else { return };
        let described = Upload { content_type: Some(content_type), filename: None };
        let Ok(id) = self.inner.media.keep_preview(described, fetched.bytes.clone().freeze()).await else { return };
        told.insert("og:image".to_owned(), format!("mxc://{}/{id}", self.inner.server_name).into());
        told.insert("og:image:type".to_owned(), content_type.into());
        told.insert("og:image:width".to_owned(), width.into());
        told.insert("og:image:height".to_owned(), height.into());
        told.insert("matrix:image:size".to_owned(), fetched.bytes.len().into());
    }

    /// Fetches what is at an address, and wherever it leads to; pages up to [`MAX_PAGE`], others up to `most`.
    async fn fetch(&self, mut url: Url, most: usize) -> Result<Fetched, PreviewError> {
        for _ in 0..=MAX_REDIRECTS {
            if !self.inner.outward.admits(&url) {
                return Err(PreviewError::Unreachable);
            }
            // Nobody's password is sent along.
            let _ = url.set_username("");
            let _ = url.set_password(None);
            let request = self.inner.outward.client().get(url.clone());
            let request = request.header(header::ACCEPT, "text/html, image/*;q=0.9, */*;q=0.1");
            let request = request.header(header::USER_AGENT, concat!("Landbridge/", env!("CARGO_PKG_VERSION")));
            let answer = request.send().await.map_err(|_| PreviewError::Unreachable)?;
            let of = |name| answer.headers().get(name).and_then(|value| value.to_str().ok());
            if answer.status().is_redirection() {
                let next = of(header::LOCATION).and_then(|location| url.join(location).ok());
                url = next.ok_or(PreviewError::Unreachable)?;
                continue;
            }
            if !answer.status().is_success() {
                return Err(PreviewError::Unreachable);
            }
            let kind = of(header::CONTENT_TYPE).unwrap_or_default();
            let content_type = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            let most = if content_type.starts_with("image/") { most } else { MAX_PAGE };
            let (bytes, cut) = read(answer, most).await?;
            return Ok(Fetched { url, content_type, bytes, cut });
        }
        Err(PreviewError::Unreachable)
    }
}

/// The first bytes of an answer, and whether there were more.
async fn read(answer: reqwest::Response, most: usize) -> Result<(BytesMut, bool), PreviewError> {
    let mut bytes = BytesMut::new();
    let mut chunks = answer.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| PreviewError::Unreachable)?;
        let fits = chunk.len().min(most - bytes.len());
        bytes.extend_from_slice(&chunk[..fits]);
        if fits < chunk.len() {
            return Ok((bytes, true));
        }
    }
    Ok((bytes, false))
}

impl std::fmt::Debug for Previews {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Previews").field("outward", &self.inner.outward).finish_non_exhaustive()
    }
}
