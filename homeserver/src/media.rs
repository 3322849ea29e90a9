//! The content repository: uploaded files on disk, streamed both ways ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#content-repository

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use landbridge_sql::SqlError;
use ruma::UserId;
use tokio::io::AsyncWriteExt as _;

use crate::{
    clock::Clock,
    entropy::Entropy,
    store::{StoreError, local::Local, media as table},
};

/// The longest file name and the longest content type kept, in bytes.
const MAX_NAME_BYTES: usize = 255;

/// The uploaded files of this server.
#[derive(Clone)]
pub struct Media {
    inner: Arc<Inner>,
}

struct Inner {
    local: Local,
    folder: PathBuf,
    max_bytes: u64,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

/// What is known of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaFile {
    /// Where its bytes are.
    pub path: PathBuf,
    /// What its uploader says it is.
    pub content_type: Option<String>,
    /// What its uploader calls it.
    pub filename: Option<String>,
    /// Its length in bytes.
    pub size: u64,
}

/// Why a file was not taken or not found.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// It is longer than the server takes.
    #[error("the file is larger than {0} bytes")]
    TooLarge(u64),
    /// The upload broke off.
    #[error("the upload ended early")]
    Interrupted,
    /// The disk failed; it may be full.
    #[error("the file could not be kept: {0}")]
    Disk(#[from] std::io::Error),
    /// The store failed.
    #[error(transparent)]
    Read(#[from] SqlError),
    /// The store failed.
    #[error(transparent)]
    Write(#[from] StoreError),
}

impl Media {
    /// Keeps files below `folder`, each of `max_bytes` at most.
    pub(crate) fn new(
        local: Local,
        folder: &Path,
        max_bytes: u64,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { inner: Arc::new(Inner { local, folder: folder.to_owned(), max_bytes, clock, entropy }) }
    }

    /// The longest file taken, in bytes.
    #[must_use]
    pub fn max_bytes(&self) -> u64 {
        self.inner.max_bytes
    }

    /// Writes a file to the disk as it comes in, and gives its media id once it is durable. A file that is too long or breaks
    /// off leaves nothing behind.
    ///
    /// # Errors
    /// As [`MediaError`] says.
    pub async fn upload<E>(
        &self,
        owner: &UserId,
        content_type: Option<&str>,
        filename: Option<&str>,
        chunks: impl Stream<Item = Result<Bytes, E>> + Send,
    ) -> Result<String, MediaError> {
        let media_id = self.inner.entropy.word(24);
        let path = self.path(&media_id);
        if let Some(folder) = path.parent() {
            tokio::fs::create_dir_all(folder).await?;
        }
        let part = path.with_extension("part");
        let size = match self.receive(&part, chunks).await {
            Ok(size) => size,
            Err(error) => {
                let _ = tokio::fs::remove_file(&part).await;
                return Err(error);
            }
        };
        tokio::fs::rename(&part, &path).await?;
        let at = i64::from(self.inner.clock.now().0);
        let row = table::insert(
            &media_id,
            owner.as_str(),
            content_type.filter(|kind| kind.len() <= MAX_NAME_BYTES),
            filename.filter(|name| name.len() <= MAX_NAME_BYTES && !name.contains('\0')),
            i64::try_from(size).unwrap_or(i64::MAX),
            at,
        );
        if let Err(error) = self.inner.local.write(vec![row]).await {
            let _ = tokio::fs::remove_file(&path).await;
            return Err(error.into());
        }
        Ok(media_id)
    }

    async fn receive<E>(
        &self,
        part: &Path,
        chunks: impl Stream<Item = Result<Bytes, E>> + Send,
    ) -> Result<u64, MediaError> {
        let mut file = tokio::fs::File::create(part).await?;
        let mut size = 0_u64;
        let mut chunks = std::pin::pin!(chunks);
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_| MediaError::Interrupted)?;
            size += chunk.len() as u64;
            if size > self.inner.max_bytes {
                return Err(MediaError::TooLarge(self.inner.max_bytes));
            }
            file.write_all(&chunk).await?;
        }
        file.flush().await?;
        file.sync_all().await?;
        Ok(size)
    }

    /// Finds a file by its media id.
    ///
    /// # Errors
    /// When the store fails; an unknown or malformed id is `Ok(None)`.
    pub async fn find(&self, media_id: &str) -> Result<Option<MediaFile>, MediaError> {
        if !is_media_id(media_id) {
            return Ok(None);
        }
        let row = table::read(self.inner.local.db(), media_id).await?;
        Ok(row.map(|row| MediaFile {
            path: self.path(media_id),
            content_type: row.content_type,
            filename: row.filename,
            size: u64::try_from(row.size).unwrap_or(0),
        }))
    }

    /// Two letters make a folder, so that none holds too many files.
    fn path(&self, media_id: &str) -> PathBuf {
        self.inner.folder.join(media_id.get(..2).unwrap_or("--")).join(media_id)
    }
}

/// Letters and digits only: an id never leads out of the folder.
fn is_media_id(media_id: &str) -> bool {
    (3..=64).contains(&media_id.len()) && media_id.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

impl std::fmt::Debug for Media {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Media").field("folder", &self.inner.folder).finish_non_exhaustive()
    }
}
