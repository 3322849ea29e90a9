//! Files: stored at the XMPP server's upload service ([XEP-0363](https://xmpp.org/extensions/xep-0363.html)), where it has one that
//! takes them, so that they are fetched from where XMPP users fetch everything.

use std::{collections::HashMap, time::Duration};

use landbridge::network::IdempotencyKey;
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use super::shared::Shared;
use crate::{
    convert::outgoing::{File, Say},
    jid::Jid,
    muc::SeatId,
    stanza::{Element, ElementExt as _, ns},
};

/// How long one transfer may take.
const TRANSFER: Duration = Duration::from_secs(120);
/// The largest file that is moved; larger ones are linked to.
const LARGEST: u64 = 100 * 1024 * 1024;
/// How many files are remembered to have been stored, so that a second attempt does not store them again.
const MOST_STORED: usize = 1000;

/// Where files go.
#[derive(Debug, Default)]
pub(super) struct Uploads {
    http: OnceCell<Option<reqwest::Client>>,
    /// The service, once it was looked for; forgotten with the link.
    service: tokio::sync::Mutex<Option<Option<Service>>>,
    stored: Mutex<HashMap<String, String>>,
}

/// An upload service.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    pub(crate) jid: Jid,
    pub(crate) most: Option<u64>,
}

/// A place for one file.
pub(crate) struct Slot {
    pub(crate) put: String,
    pub(crate) get: String,
    pub(crate) headers: Vec<(String, String)>,
}

impl Uploads {
    /// The link is gone: another server may be there next time.
    pub(super) fn unlinked(&self) {
        if let Ok(mut service) = self.service.try_lock() {
            *service = None;
        }
    }

    /// The client for transfers; `None` where there can be none.
    pub(super) async fn http(&self) -> Option<&reqwest::Client> {
        let build = async || {
            reqwest::Client::builder().timeout(TRANSFER).redirect(reqwest::redirect::Policy::limited(3)).build().ok()
        };
        self.http.get_or_init(build).await.as_ref()
    }
}

impl Shared {
    /// Where the file of a message was stored at the XMPP server; its own address where that cannot be.
    pub(super) async fn shared_file(&self, say: &Say) -> Option<String> {
        let file = say.file.as_ref()?;
        if !self.config.media.upload {
            return Some(file.url.clone());
        }
        if let Some(stored) = self.uploads.stored.lock().get(&say.id) {
            return Some(stored.clone());
        }
        match self.store(file).await {
            Some(stored) => {
                let mut all = self.uploads.stored.lock();
                if all.len() >= MOST_STORED {
                    all.clear();
                }
                all.insert(say.id.clone(), stored.clone());
                Some(stored)
            }
            None => Some(file.url.clone()),
        }
    }

    async fn store(&self, file: &File) -> Option<String> {
        let service = self.upload_service().await?;
        let most = service.most.unwrap_or(LARGEST).min(LARGEST);
        if file.size.is_some_and(|size| size > most) {
            return None;
        }
        let http = self.uploads.http().await?;
        let bytes = fetch(http, &file.url, most).await?;
        let slot = self.slot(&service, &file.name, file.mime.as_deref(), bytes.len()).await?;
        put(http, &slot, file.mime.as_deref(), bytes)
            .await
            .map_err(|error| {
                tracing::info!(%error, "the upload service did not take a file; it is linked to instead");
            })
            .ok()?;
        Some(slot.get)
    }

    /// The server's upload service, asked for once for each link.
    pub(super) async fn upload_service(&self) -> Option<Service> {
        let mut known = self.uploads.service.lock().await;
        if let Some(service) = &*known {
            return service.clone();
        }
        let found = self.find_upload_service().await;
        *known = Some(found.clone());
        found
    }

    async fn find_upload_service(&self) -> Option<Service> {
        if let Some(configured) = &self.config.media.upload_service {
            return self.as_upload_service(Jid::parse(configured)?).await;
        }
        let (_, server) = self.own.domain.split_once('.')?;
        let bot = self.seat_jid(&SeatId::Listener)?;
        let iq = Element::stanza("iq", bot.as_str(), server, "get").child(Element::bare("query", ns::DISCO_ITEMS));
        let items = self.ask(iq, super::link::ANSWER).await.ok()?;
        let query = items.get_child("query", ns::DISCO_ITEMS)?;
        let items: Vec<Jid> =
            query.find_all("item", ns::DISCO_ITEMS).filter_map(|item| Jid::parse(item.attr("jid")?)).take(50).collect();
        for jid in items {
            if jid.domain() != self.own.domain
                && let Some(service) = self.as_upload_service(jid).await
            {
                return Some(service);
            }
        }
        None
    }

    async fn as_upload_service(&self, jid: Jid) -> Option<Service> {
        let bot = self.seat_jid(&SeatId::Listener)?;
        let iq = Element::stanza("iq", bot.as_str(), jid.as_str(), "get").child(Element::bare("query", ns::DISCO_INFO));
        let info = self.ask(iq, super::link::ANSWER).await.ok()?;
        service(&info, jid)
    }

    /// Asks for a place for a file.
    pub(super) async fn slot(&self, service: &Service, name: &str, mime: Option<&str>, size: usize) -> Option<Slot> {
        let bot = self.seat_jid(&SeatId::Listener)?;
        let request = slot_request(name, mime, size);
        let iq = Element::stanza("iq", bot.as_str(), service.jid.as_str(), "get").child(request);
        let answer = self
            .ask(iq, super::link::ANSWER)
            .await
            .map_err(|error| {
                tracing::info!(%error, "the upload service refused a file; it is linked to instead");
            })
            .ok()?;
        slot(&answer)
    }
}

/// The upload service that an answer to a question for its abilities speaks of.
pub(crate) fn service(info: &Element, jid: Jid) -> Option<Service> {
    let query = info.get_child("query", ns::DISCO_INFO)?;
    query.find_all("feature", ns::DISCO_INFO).find(|feature| feature.attr("var") == Some(ns::UPLOAD))?;
    let mut fields = query.find_all("x", ns::DATA).flat_map(|form| form.find_all("field", ns::DATA));
    let most = fields.find(|field| field.attr("var") == Some("max-file-size"));
    Some(Service { jid, most: most.and_then(|field| field.own_text("value")?.parse().ok()) })
}

/// The question for a place for a file.
pub(crate) fn slot_request(name: &str, mime: Option<&str>, size: usize) -> Element {
    let name: String = name.chars().filter(|c| c.is_alphanumeric() || "._-".contains(*c)).take(80).collect();
    let name = if name.is_empty() { "file".to_owned() } else { name };
    let request = Element::bare("request", ns::UPLOAD).with("filename", name).with("size", size.to_string());
    request.with_some("content-type", mime)
}

/// The place that an answer gives.
pub(crate) fn slot(answer: &Element) -> Option<Slot> {
    let slot = answer.get_child("slot", ns::UPLOAD)?;
    let put = slot.own("put")?;
    // Only these may be set (§5).
    let allowed = |name: &str| ["authorization", "cookie", "expires"].contains(&name.to_ascii_lowercase().as_str());
    let headers = put.find_all("header", ns::UPLOAD).filter_map(|header| {
        let name = header.attr("name").filter(|name| allowed(name))?;
        Some((name.to_owned(), header.text().replace(['\r', '\n'], "")))
    });
    let get = slot.own("get")?.attr("url")?.to_owned();
    Some(Slot { put: put.attr("url")?.to_owned(), get, headers: headers.collect() })
}

/// Fetches a file, at most so large.
pub(crate) async fn fetch(http: &reqwest::Client, url: &str, most: u64) -> Option<Vec<u8>> {
    let mut answer = http.get(url).send().await.ok()?.error_for_status().ok()?;
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.ok()? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() as u64 > most {
            return None;
        }
    }
    Some(bytes)
}

/// Puts a file in its place.
pub(crate) async fn put(
    http: &reqwest::Client,
    slot: &Slot,
    mime: Option<&str>,
    bytes: Vec<u8>,
) -> Result<(), reqwest::Error> {
    let mut request = http.put(&slot.put).header("content-type", mime.unwrap_or("application/octet-stream"));
    for (name, value) in &slot.headers {
        request = request.header(name, value);
    }
    request.body(bytes).send().await?.error_for_status().map(drop)
}

/// For operations without a key of their own.
pub(super) const NO_KEY: IdempotencyKey = IdempotencyKey([0; 16]);
