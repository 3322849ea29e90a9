//! Links to files that were taken back.

use ruma::MxcUri;

use super::HomeserverError;
use crate::{
    clock::Clock,
    store::{Change, Store},
};

/// Which files nobody can fetch by a link any more.
#[derive(Clone, Debug)]
pub struct Revoked {
    store: Store,
    clock: std::sync::Arc<dyn Clock>,
}

impl Revoked {
    pub(crate) fn new(store: Store, clock: std::sync::Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }

    /// Whether the links to a file were taken back.
    ///
    /// # Errors
    /// When the database cannot be asked now.
    pub async fn contains(&self, mxc: &MxcUri) -> Result<bool, HomeserverError> {
        let found = self.store.is_revoked(mxc.as_str()).await;
        found.map_err(|error| HomeserverError::Unavailable(error.to_string()))
    }

    /// Takes the links to a file back, for good.
    pub(crate) async fn revoke(&self, mxc: &MxcUri) -> Result<(), HomeserverError> {
        let change = Change { revoke: vec![(mxc.to_string(), self.clock.now().0)], ..Change::default() };
        let kept = self.store.commit(change).await;
        kept.map(drop).map_err(|error| HomeserverError::Unavailable(error.to_string()))
    }
}

/// The file that somebody names by its `mxc://` address, or by a link of ours.
pub(crate) fn file(text: &str) -> Option<ruma::OwnedMxcUri> {
    let mxc = match text.split_once(crate::http::MEDIA_PATH) {
        None => text.to_owned(),
        Some((_, path)) => {
            let mut parts = path.trim_start_matches('/').split('/').skip(1);
            let part = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8().ok().map(String::from);
            format!("mxc://{}/{}", part(parts.next()?)?, part(parts.next()?)?)
        }
    };
    Some(ruma::OwnedMxcUri::from(mxc)).filter(|mxc| mxc.is_valid())
}

#[cfg(test)]
mod tests {
    use super::file;

    #[test]
    fn a_file_is_named_by_its_address_or_by_its_link() {
        let named = |text: &str| file(text).map(|mxc| mxc.to_string());
        let expected = Some("mxc://example.org:8448/AbC".to_owned());
        assert_eq!(named("mxc://example.org:8448/AbC"), expected);
        assert_eq!(named("https://b.example/x/_landbridge/media/v1/sig/example.org%3A8448/AbC/cat.png"), expected);
        for nonsense in ["", "https://example.org/x", "https://b/_landbridge/media/v1/sig", "mxc://a/../b"] {
            assert_eq!(named(nonsense), None, "{nonsense:?}");
        }
    }
}
