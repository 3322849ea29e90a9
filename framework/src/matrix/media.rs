//! Media, streamed both ways, within bounds.

use std::pin::Pin;

use axum::body::Body;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use http::{HeaderMap, Method, Request, Response, header};
use http_body_util::{BodyExt as _, Limited};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ruma::{MxcUri, OwnedMxcUri};
use serde::Deserialize;

use super::{Assertion, Client, ClientError, client::Repeat};

/// A file on its way from the homeserver.
pub struct Download {
    /// Its media type, as its sender claims.
    pub mime: Option<String>,
    /// Its name, as its sender claims.
    pub name: Option<String>,
    /// Its size in bytes, where the homeserver says.
    pub size: Option<u64>,
    /// Its content; an error when it is longer than was allowed, or breaks off.
    pub body: Pin<Box<dyn Stream<Item = Result<Bytes, ClientError>> + Send>>,
}

impl std::fmt::Debug for Download {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Download").field("mime", &self.mime).field("size", &self.size).finish_non_exhaustive()
    }
}

impl Download {
    /// Reads it whole.
    ///
    /// # Errors
    /// [`ClientError::TooLarge`], or [`ClientError::Unavailable`] when it breaks off.
    pub async fn bytes(mut self) -> Result<Bytes, ClientError> {
        let mut all = bytes::BytesMut::new();
        while let Some(chunk) = self.body.next().await {
            all.extend_from_slice(&chunk?);
        }
        Ok(all.freeze())
    }
}

/// What a path segment may hold unescaped.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl Client {
    /// Stores a file that is in memory.
    ///
    /// # Errors
    /// [`ClientError::TooLarge`] when the homeserver does not take files of this size.
    pub async fn upload(
        &self,
        who: &Assertion,
        name: &str,
        mime: &str,
        content: Bytes,
    ) -> Result<OwnedMxcUri, ClientError> {
        let request = self.upload_request(who, name, mime).body(content).map_err(|error| bad(&error))?;
        // A file stored twice is a file too many, but no message too many.
        stored(self.call(request, Repeat::Safe).await?.body())
    }

    /// Stores a file as it comes. Not repeated when it fails: the stream is gone.
    ///
    /// # Errors
    /// [`ClientError::TooLarge`] when it is longer than `max` bytes, or than the homeserver takes.
    pub async fn upload_stream(
        &self,
        who: &Assertion,
        name: &str,
        mime: &str,
        content: Body,
        max: u64,
    ) -> Result<OwnedMxcUri, ClientError> {
        let content = Body::new(Limited::new(content, usize::try_from(max).unwrap_or(usize::MAX)));
        let request = self.upload_request(who, name, mime).body(content).map_err(|error| bad(&error))?;
        let body = self.stream(request).await?.into_body();
        let body = Limited::new(body, 64 * 1024)
            .collect()
            .await
            .map_err(|_| ClientError::Unavailable("the homeserver's answer broke off".to_owned()))?;
        stored(&body.to_bytes())
    }

    /// Opens a file, from the authenticated endpoint, or from the legacy one where the homeserver has no other.
    ///
    /// # Errors
    /// [`ClientError::TooLarge`] when its size is known to be more than `max` bytes; else reading stops there.
    pub async fn download(&self, mxc: &MxcUri, max: u64) -> Result<Download, ClientError> {
        self.media("download", mxc, "", max).await
    }

    /// Opens a picture, made so small that an avatar needs no more.
    ///
    /// # Errors
    /// As [`Client::download`].
    pub async fn thumbnail(&self, mxc: &MxcUri, max: u64) -> Result<Download, ClientError> {
        self.media("thumbnail", mxc, "?width=96&height=96&method=crop", max).await
    }

    async fn media(&self, what: &str, mxc: &MxcUri, query: &str, max: u64) -> Result<Download, ClientError> {
        let (server, media_id) = mxc.parts().map_err(|_| ClientError::NotFound("not a media id".to_owned()))?;
        let path = format!("{what}/{}/{}{query}", escape(server.as_str()), escape(media_id));
        let response = match self.stream(self.get(&format!("/_matrix/client/v1/media/{path}"))?).await {
            Err(ClientError::Rejected { errcode, .. }) if errcode == "M_UNRECOGNIZED" || errcode == "HTTP 405" => {
                self.stream(self.get(&format!("/_matrix/media/v3/{path}"))?).await?
            }
            other => other?,
        };
        opened(response, max)
    }

    fn get(&self, path: &str) -> Result<Request<Body>, ClientError> {
        self.authorized(Method::GET, path).body(Body::empty()).map_err(|error| bad(&error))
    }

    fn authorized(&self, method: Method, path: &str) -> http::request::Builder {
        Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.as_token().reveal()))
    }

    fn upload_request(&self, who: &Assertion, name: &str, mime: &str) -> http::request::Builder {
        let mut path = format!("/_matrix/media/v3/upload?filename={}", escape(name));
        if let Some(user_id) = &who.user_id {
            path.push_str("&user_id=");
            path.push_str(&escape(user_id.as_str()));
        }
        let mime =
            http::HeaderValue::from_str(mime).unwrap_or(http::HeaderValue::from_static("application/octet-stream"));
        self.authorized(Method::POST, &path).header(header::CONTENT_TYPE, mime)
    }
}

fn escape(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

fn bad(error: &http::Error) -> ClientError {
    ClientError::Rejected { errcode: "M_BAD_REQUEST".to_owned(), message: error.to_string() }
}

fn stored(body: &[u8]) -> Result<OwnedMxcUri, ClientError> {
    #[derive(Deserialize)]
    struct Stored {
        content_uri: OwnedMxcUri,
    }
    serde_json::from_slice::<Stored>(body)
        .map(|stored| stored.content_uri)
        .map_err(|_| ClientError::Unavailable("the homeserver's answer cannot be read".to_owned()))
}

fn opened(response: Response<Body>, max: u64) -> Result<Download, ClientError> {
    let (head, body) = response.into_parts();
    let size = number(&head.headers);
    if size.is_some_and(|size| size > max) {
        return Err(too_large(max));
    }
    let mut left = max;
    let body = body.into_data_stream().map(move |chunk| {
        let chunk = chunk.map_err(|error| ClientError::Unavailable(format!("the file broke off: {error}")))?;
        left = left.checked_sub(chunk.len() as u64).ok_or_else(|| too_large(max))?;
        Ok(chunk)
    });
    Ok(Download { mime: text(&head.headers, header::CONTENT_TYPE), name: None, size, body: Box::pin(body) })
}

fn too_large(max: u64) -> ClientError {
    ClientError::TooLarge(format!("the file is larger than {max} bytes"))
}

fn number(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}
