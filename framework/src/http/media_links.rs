//! Links under which anybody can fetch Matrix media: for networks whose messages can only hold an address.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ruma::{MxcUri, OwnedMxcUri};
use sha2::Sha256;
use url::Url;

/// Makes and checks signed, permanent links.
///
/// The signature (HMAC-SHA256) covers server and media id, so that nobody can use us to fetch what was never bridged; the file name
/// is only there to be read. Links last as long as the key: another key takes all of them back.
#[derive(Clone)]
pub struct MediaLinks {
    base: String,
    key: [u8; 32],
}

impl std::fmt::Debug for MediaLinks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MediaLinks").field("base", &self.base).finish_non_exhaustive()
    }
}

/// Where the endpoint is, below the public URL.
pub(crate) const PATH: &str = "/_landbridge/media/v1";
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl MediaLinks {
    /// Links below `public_url` (which may have a path of its own, behind a reverse proxy), signed with a key made of `secret`.
    pub fn new(public_url: &Url, secret: &[u8]) -> Self {
        let key = mac(secret, &[b"landbridge media links"]);
        Self { base: format!("{}{PATH}", public_url.as_str().trim_end_matches('/')), key }
    }

    /// The link to a file; none for what is no valid media id. Pure: always the same for the same file.
    pub fn url(&self, mxc: &MxcUri, name: &str) -> Option<String> {
        let (server, media_id) = mxc.parts().ok()?;
        let signature = self.signature(server.as_str(), media_id);
        let segment = |text: &str| utf8_percent_encode(text, SEGMENT).to_string();
        let (server, media_id, name) = (segment(server.as_str()), segment(media_id), segment(&file_name(name)));
        Some(format!("{}/{signature}/{server}/{media_id}/{name}", self.base))
    }

    /// The file that a link stands for, if the link is ours.
    pub fn verify(&self, signature: &str, server: &str, media_id: &str) -> Option<OwnedMxcUri> {
        let given = URL_SAFE_NO_PAD.decode(signature).ok()?;
        keyed(&self.key, &parts(server, media_id)).verify_slice(&given).ok()?;
        let mxc = OwnedMxcUri::from(format!("mxc://{server}/{media_id}"));
        mxc.is_valid().then_some(mxc)
    }

    fn signature(&self, server: &str, media_id: &str) -> String {
        URL_SAFE_NO_PAD.encode(mac(&self.key, &parts(server, media_id)))
    }
}

/// A slash can be in neither.
fn parts<'a>(server: &'a str, media_id: &'a str) -> [&'a [u8]; 3] {
    [server.as_bytes(), b"/", media_id.as_bytes()]
}

fn keyed(key: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    // HMAC takes keys of any length; the empty key stands for an error that cannot be.
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&Default::default()));
    for part in parts {
        mac.update(part);
    }
    mac
}

fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    keyed(key, parts).finalize().into_bytes().into()
}

/// A name that is one path segment and fits into a line, whatever its sender called the file.
fn file_name(name: &str) -> String {
    let name: String = name.chars().filter(|c| !c.is_control() && !matches!(c, '/' | '\\')).take(80).collect();
    let name = name.trim_matches(|c: char| c == '.' || c.is_whitespace());
    if name.is_empty() { "file".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use ruma::mxc_uri;

    use super::*;

    fn links(secret: &str) -> MediaLinks {
        MediaLinks::new(&"https://bridge.example/irc/".parse().unwrap(), secret.as_bytes())
    }

    fn path(url: &str) -> Vec<String> {
        url.strip_prefix("https://bridge.example/irc/_landbridge/media/v1/")
            .unwrap()
            .split('/')
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn a_link_is_permanent_and_leads_back() {
        let mxc = mxc_uri!("mxc://example.org/AbC-1_2");
        let url = links("s").url(mxc, "cat picture.png").unwrap();
        assert_eq!(url, links("s").url(mxc, "cat picture.png").unwrap());
        let path = path(&url);
        assert_eq!(path[3], "cat%20picture.png");
        assert_eq!(links("s").verify(&path[0], &path[1], &path[2]).as_deref(), Some(mxc));
    }

    #[test]
    fn nobody_else_can_make_one() {
        let path = path(&links("s").url(mxc_uri!("mxc://example.org/AbC"), "x").unwrap());
        assert_eq!(links("other").verify(&path[0], &path[1], &path[2]), None);
        assert_eq!(links("s").verify(&path[0], &path[1], "AbD"), None);
        assert_eq!(links("s").verify(&path[0], "example.com", &path[2]), None);
        assert_eq!(links("s").verify(&path[0][..path[0].len() - 2], &path[1], &path[2]), None);
        assert_eq!(links("s").verify("", &path[1], &path[2]), None);
        assert_eq!(links("s").verify("!!", &path[1], &path[2]), None);
    }

    #[test]
    fn a_name_cannot_leave_its_place_or_break_a_line() {
        for (name, expected) in [
            ("../../etc/passwd", "etcpasswd"),
            ("a\r\nQUIT :x", "aQUIT%20%3Ax"),
            ("", "file"),
            ("..", "file"),
            ("a/b?c#d", "ab%3Fc%23d"),
        ] {
            let url = links("s").url(mxc_uri!("mxc://example.org/AbC"), name).unwrap();
            assert_eq!(path(&url)[3], expected, "{name:?}");
        }
        let long = links("s").url(mxc_uri!("mxc://example.org/AbC"), &"x".repeat(5000)).unwrap();
        assert!(long.len() < 220);
    }

    #[test]
    fn no_link_for_what_is_no_media() {
        assert_eq!(links("s").url("mxc://example.org/../x".into(), "x"), None);
        assert_eq!(links("s").url("https://example.org/x".into(), "x"), None);
    }
}
