//! Looking after files: what is old goes, what must not be seen is not shown.

use futures_util::TryStreamExt as _;
use ruma::UserId;

use super::{Media, MediaError, MediaRow, is_media_id, table, thumbnail_key};

/// How many files are looked at in one round.
const PER_ROUND: i64 = 500;

/// How long the picture of a linked page is kept, in milliseconds: longer than its preview is remembered.
const PREVIEWS_KEPT: i64 = 24 * 60 * 60 * 1000;

/// What an operator sees of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptFile {
    /// Its media id.
    pub media_id: String,
    /// Who uploaded it.
    pub owner: String,
    /// What its uploader says it is.
    pub content_type: Option<String>,
    /// What its uploader calls it.
    pub filename: Option<String>,
    /// In bytes.
    pub size: i64,
    /// In milliseconds since 1970.
    pub created_at: i64,
    /// When somebody last asked for it, within an hour.
    pub last_access_at: Option<i64>,
    /// Whether it is in quarantine: kept, and shown to nobody.
    pub quarantined: bool,
}

/// What was cleared away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// How many files.
    pub files: u64,
    /// How many bytes they had, without their thumbnails.
    pub bytes: u64,
}

fn shown(row: MediaRow) -> KeptFile {
    KeptFile {
        media_id: row.media_id,
        owner: row.owner,
        content_type: row.content_type,
        filename: row.filename,
        size: row.size,
        created_at: row.created_at,
        last_access_at: row.last_access_at,
        quarantined: row.quarantined_at.is_some(),
    }
}

impl Media {
    /// Forgets files that never came, old pictures of linked pages, and what nobody has asked for since `unused_since` (milliseconds since 1970;
    /// `None`: none of these). A stop in between leaves nothing that is listed and not there.
    ///
    /// # Errors
    /// As [`MediaError`] says; what was cleared away by then is gone.
    pub async fn purge(&self, unused_since: Option<i64>) -> Result<Purged, MediaError> {
        let mut purged = Purged::default();
        loop {
            let since = unused_since.unwrap_or(i64::MIN);
            let now = self.now();
            let rows = table::stale(self.inner.local.db(), now, now - PREVIEWS_KEPT, since, PER_ROUND).await?;
            if rows.is_empty() {
                return Ok(purged);
            }
            for row in rows {
                purged.files += 1;
                purged.bytes += u64::try_from(row.size).unwrap_or(0);
                self.forget(&row.media_id).await?;
            }
        }
    }

    /// Forgets a file; says whether there was one.
    ///
    /// # Errors
    /// As [`MediaError`] says.
    pub async fn delete(&self, media_id: &str) -> Result<bool, MediaError> {
        if self.row(media_id).await?.is_none() {
            return Ok(false);
        }
        self.forget(media_id).await?;
        Ok(true)
    }

    /// First nobody finds it any more, then its bytes go, thumbnails and all. A stop in between leaves bytes that nobody finds.
    async fn forget(&self, media_id: &str) -> Result<(), MediaError> {
        if !is_media_id(media_id) {
            return Ok(());
        }
        let thumbnails = table::thumbnails(self.inner.local.db(), media_id).await?;
        self.inner.local.write(table::delete(media_id)).await?;
        for (width, height, method) in thumbnails {
            self.inner.storage.delete(&thumbnail_key(media_id, (width, height), &method)).await?;
        }
        self.inner.storage.delete(media_id).await
    }

    /// Clears away bytes from before a time (in milliseconds since 1970) that nobody finds, because a stop came between them
    /// and their row; says how many files these were.
    ///
    /// # Errors
    /// As [`MediaError`] says; what was cleared away by then is gone.
    pub async fn sweep(&self, before: i64) -> Result<u64, MediaError> {
        let mut swept = 0;
        let mut all = self.inner.storage.all();
        while let Some(kept) = all.try_next().await? {
            let media_id = kept.key.split('.').next().unwrap_or_default();
            let is_half = kept.key.ends_with(".part");
            // What is not ours by its name is let be.
            if kept.written_at < before && is_media_id(media_id) && (is_half || self.row(media_id).await?.is_none()) {
                self.inner.storage.delete(&kept.key).await?;
                swept += 1;
            }
        }
        Ok(swept)
    }

    /// Puts a file into quarantine, where it is kept and shown to nobody, or takes it out; says whether there is one.
    ///
    /// # Errors
    /// As [`MediaError`] says.
    pub async fn quarantine(&self, media_id: &str, quarantined: bool) -> Result<bool, MediaError> {
        let at = quarantined.then(|| self.now());
        Ok(self.inner.local.write(vec![table::set_quarantined(media_id, at)]).await?.rows > 0)
    }

    /// A thousand files of a user at most, the newest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn of_user(&self, user_id: &UserId) -> Result<Vec<KeptFile>, MediaError> {
        let rows = table::of_owner(self.inner.local.db(), user_id.as_str(), 1000).await?;
        Ok(rows.into_iter().map(shown).collect())
    }

    /// How many files there are, and how many bytes they have.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn total(&self) -> Result<(i64, i64), MediaError> {
        Ok(table::total(self.inner.local.db()).await?)
    }
}
