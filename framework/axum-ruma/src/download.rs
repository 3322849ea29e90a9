//! Headers that keep an uploaded file from doing anything in a browser ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#serving-inline-content

use http::{HeaderMap, HeaderValue, header};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// The content types the specification lets a server show inline; anything else is saved, never shown.
const INLINE: [&str; 24] = [
    "text/css",
    "text/plain",
    "text/csv",
    "application/json",
    "application/ld+json",
    "image/jpeg",
    "image/gif",
    "image/png",
    "image/apng",
    "image/webp",
    "image/avif",
    "video/mp4",
    "video/webm",
    "video/ogg",
    "video/quicktime",
    "audio/mp4",
    "audio/webm",
    "audio/aac",
    "audio/mpeg",
    "audio/ogg",
    "audio/wave",
    "audio/wav",
    "audio/x-wav",
    "audio/flac",
];

/// What RFC 8187 lets stand unescaped in `filename*`.
const NOT_IN_NAMES: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'%')
    .add(b'\'')
    .add(b'(')
    .add(b')')
    .add(b'*')
    .add(b',')
    .add(b'/')
    .add(b':')
    .add(b';')
    .add(b'<')
    .add(b'=')
    .add(b'>')
    .add(b'?')
    .add(b'@')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'{')
    .add(b'}');

/// What a download says of itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct ContentHeaders<'a> {
    /// What the uploader says it is.
    pub content_type: Option<&'a str>,
    /// What it is called.
    pub filename: Option<&'a str>,
    /// Its length in bytes, where known.
    pub size: Option<u64>,
}

/// The headers of a download: sandboxed, not sniffed, saved rather than shown unless it is a harmless type, and kept by nobody but who
/// asked, for who asks may have shown a token.
#[must_use]
pub fn safe_headers(content: ContentHeaders<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let kind = content.content_type.unwrap_or("application/octet-stream");
    let inline = is_shown_inline(kind);
    let kind = HeaderValue::from_str(kind).unwrap_or(HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_TYPE, kind);
    if let Some(size) = content.size {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(size));
    }
    headers.insert(header::CONTENT_DISPOSITION, disposition(inline, content.filename));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "sandbox; default-src 'none'; script-src 'none'; plugin-types application/pdf; style-src 'unsafe-inline'; \
             media-src 'self'; object-src 'self';",
        ),
    );
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("cross-origin"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=86400, immutable"));
    headers
}

/// Whether a browser may show a file of this type: those that can run nothing.
#[must_use]
pub fn is_shown_inline(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    INLINE.contains(&essence.as_str())
}

fn disposition(inline: bool, filename: Option<&str>) -> HeaderValue {
    let how = if inline { "inline" } else { "attachment" };
    let value = match filename {
        None => how.to_owned(),
        Some(name) if !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) => {
            format!("{how}; filename={name}")
        }
        Some(name) => format!("{how}; filename*=utf-8''{}", utf8_percent_encode(name, NOT_IN_NAMES)),
    };
    HeaderValue::from_str(&value).unwrap_or(HeaderValue::from_static("attachment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(content_type: &str, filename: &str) -> String {
        let headers =
            safe_headers(ContentHeaders { content_type: Some(content_type), filename: Some(filename), size: Some(1) });
        headers[header::CONTENT_DISPOSITION].to_str().unwrap().to_owned()
    }

    #[test]
    fn pictures_are_shown_and_pages_are_saved() {
        assert_eq!(said("image/png", "a.png"), "inline; filename=a.png");
        assert_eq!(said("text/html; charset=utf-8", "a.html"), "attachment; filename=a.html");
        assert_eq!(said("image/svg+xml", "a.svg"), "attachment; filename=a.svg");
    }

    #[test]
    fn a_name_cannot_add_a_header_or_a_parameter() {
        assert_eq!(
            said("image/png", "a\r\nSet-Cookie: x=\"1\";\u{2603}"),
            "inline; filename*=utf-8''a%0D%0ASet-Cookie%3A%20x%3D%221%22%3B%E2%98%83"
        );
    }

    #[test]
    fn a_type_that_is_no_header_becomes_bytes() {
        let headers = safe_headers(ContentHeaders { content_type: Some("text/plain\n"), ..ContentHeaders::default() });
        assert_eq!(headers[header::CONTENT_TYPE], "application/octet-stream");
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(headers[header::CACHE_CONTROL], "private, max-age=86400, immutable");
    }
}
