//! The content repository: uploaded files, streamed both ways ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#content-repository

mod picture;
mod preview;
mod range;
mod storage;
mod upkeep;

use std::{collections::HashSet, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use landbridge_sql::SqlError;
use object_store::memory::InMemory;
use parking_lot::Mutex;
use ruma::UserId;
use tokio::{
    sync::{Notify, Semaphore},
    time::Instant,
};

pub(crate) use self::preview::{PreviewError, Previews};
use self::storage::{Disk, Objects};
pub use self::{
    picture::{Frame, MAX_PIXELS, Method, PictureError},
    range::{ByteRange, range_of},
    storage::{Chunks, Kept, MediaStorage, S3, Storage},
    upkeep::{KeptFile, Purged},
};
use crate::{
    clock::Clock,
    entropy::Entropy,
    store::{
        StoreError,
        local::Local,
        media::{self as table, Described, MediaRow, ThumbnailRow},
    },
};

/// The longest file name and the longest content type kept, in bytes.
const MAX_NAME_BYTES: usize = 255;

/// How long a name is kept for a file that is to come.
pub const PENDING_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// For how many files that are to come one user may keep names.
pub const MAX_PENDING: i64 = 100;

/// How many pictures are made smaller at once: each takes up to a hundred megabytes for a moment.
const PICTURES_AT_ONCE: usize = 2;

/// How many thumbnails of one file are kept, so that nobody can fill the disk by asking for many shapes; beyond it there is the file itself.
const MAX_THUMBNAILS: usize = 32;

/// How long after the last time it is noted again that somebody asked for a file, in milliseconds.
const NOTED: i64 = 60 * 60 * 1000;

/// The uploaded files of this server.
#[derive(Clone)]
pub struct Media {
    inner: Arc<Inner>,
}

struct Inner {
    local: Local,
    storage: Arc<dyn Storage>,
    max_bytes: u64,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    /// Rung when a file has come that a name was kept for.
    came: Notify,
    pictures: Semaphore,
    /// The names whose files are coming now.
    filling: Arc<Mutex<HashSet<String>>>,
}

/// A file that comes for a name; only one at a time.
struct Filling {
    all: Arc<Mutex<HashSet<String>>>,
    media_id: String,
}

impl Filling {
    fn begin(all: &Arc<Mutex<HashSet<String>>>, media_id: &str) -> Option<Self> {
        let first = all.lock().insert(media_id.to_owned());
        first.then(|| Self { all: all.clone(), media_id: media_id.to_owned() })
    }
}

impl Drop for Filling {
    fn drop(&mut self) {
        self.all.lock().remove(&self.media_id);
    }
}

/// What is known of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaFile {
    /// What its bytes are kept under.
    key: String,
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
    /// The user keeps too many names for files that have not come.
    #[error("too many files are yet to be uploaded")]
    TooManyPending,
    /// The name is another user's, or nobody's.
    #[error("the media id is not yours")]
    NotYours,
    /// There is no such file, or it was not uploaded in time.
    #[error("no such file")]
    NotFound,
    /// The file is there already.
    #[error("the file was uploaded already")]
    Uploaded,
    /// The file has not come within the time that was waited for it.
    #[error("the file has not been uploaded yet")]
    NotYetUploaded,
    /// There is no thumbnail of it.
    #[error(transparent)]
    Picture(#[from] PictureError),
    /// The disk failed; it may be full.
    #[error("the file could not be kept: {0}")]
    Disk(#[from] std::io::Error),
    /// The store of objects failed.
    #[error("the bucket failed: {0}")]
    Objects(#[from] object_store::Error),
    /// The store failed.
    #[error(transparent)]
    Read(#[from] SqlError),
    /// The store failed.
    #[error(transparent)]
    Write(#[from] StoreError),
}

impl Media {
    /// Keeps files in `storage`, each of `max_bytes` at most; `folder` is where the disk is meant.
    ///
    /// # Errors
    /// [`MediaError::Objects`] where the description of a bucket makes no sense.
    pub(crate) fn new(
        local: Local,
        storage: &MediaStorage,
        folder: &Path,
        max_bytes: u64,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, MediaError> {
        let storage: Arc<dyn Storage> = match storage {
            MediaStorage::Disk => Arc::new(Disk::new(folder, entropy.clone())),
            MediaStorage::Memory => Arc::new(Objects::new(Arc::new(InMemory::new()), "")),
            MediaStorage::S3(bucket) => Arc::new(Objects::bucket(bucket)?),
            MediaStorage::Other(storage) => storage.clone(),
        };
        let (came, pictures) = (Notify::new(), Semaphore::new(PICTURES_AT_ONCE));
        let filling = Arc::default();
        Ok(Self { inner: Arc::new(Inner { local, storage, max_bytes, clock, entropy, came, pictures, filling }) })
    }

    /// The longest file taken, in bytes.
    #[must_use]
    pub fn max_bytes(&self) -> u64 {
        self.inner.max_bytes
    }

    fn now(&self) -> i64 {
        i64::from(self.inner.clock.now().0)
    }

    /// Keeps a file as it comes in, and gives its media id once it is durable. A file that is too long or breaks
    /// off leaves nothing behind.
    ///
    /// # Errors
    /// As [`MediaError`] says.
    pub async fn upload<E>(
        &self,
        owner: &UserId,
        described: Upload<'_>,
        chunks: impl Stream<Item = Result<Bytes, E>> + Send,
    ) -> Result<String, MediaError> {
        let media_id = self.inner.entropy.word(24);
        let size = self.keep(&media_id, chunks).await?;
        let row = table::insert(&media_id, owner.as_str(), described.sized(size), self.now());
        if let Err(error) = self.inner.local.write(vec![row]).await {
            let _ = self.inner.storage.delete(&media_id).await;
            return Err(error.into());
        }
        Ok(media_id)
    }

    /// Keeps a picture of a page that somebody linked to, for a day.
    async fn keep_preview(&self, described: Upload<'_>, bytes: Bytes) -> Result<String, MediaError> {
        let media_id = self.inner.entropy.word(24);
        let size = storage::put_whole(&*self.inner.storage, &media_id, bytes).await?;
        let row = table::insert(&media_id, table::OF_PREVIEWS, described.sized(size), self.now());
        self.inner.local.write(vec![row]).await?;
        Ok(media_id)
    }

    /// Keeps a name for a file that is to come; gives it, and until when it is kept, in milliseconds since 1970.
    ///
    /// # Errors
    /// As [`MediaError`] says.
    pub async fn reserve(&self, owner: &UserId) -> Result<(String, i64), MediaError> {
        let now = self.now();
        if table::pending(self.inner.local.db(), owner.as_str(), now).await? >= MAX_PENDING {
            return Err(MediaError::TooManyPending);
        }
        let media_id = self.inner.entropy.word(24);
        let until = now.saturating_add(i64::try_from(PENDING_LIFETIME.as_millis()).unwrap_or(i64::MAX));
        self.inner.local.write(vec![table::reserve(&media_id, owner.as_str(), now, until)]).await?;
        Ok((media_id, until))
    }

    /// Takes the file that a name was kept for.
    ///
    /// # Errors
    /// As [`MediaError`] says; the name stays kept until the file has come whole.
    pub async fn fill<E>(
        &self,
        owner: &UserId,
        media_id: &str,
        described: Upload<'_>,
        chunks: impl Stream<Item = Result<Bytes, E>> + Send,
    ) -> Result<(), MediaError> {
        let row = self.row(media_id).await?.ok_or(MediaError::NotFound)?;
        if row.owner != owner.as_str() {
            return Err(MediaError::NotYours);
        }
        match row.pending_until {
            None => return Err(MediaError::Uploaded),
            Some(until) if until <= self.now() => return Err(MediaError::NotFound),
            Some(_) => {}
        }
        let _only = Filling::begin(&self.inner.filling, media_id).ok_or(MediaError::Uploaded)?;
        let size = self.keep(media_id, chunks).await?;
        let filled = self.inner.local.write(vec![table::fill(media_id, described.sized(size))]).await?;
        if filled.rows == 0 {
            return Err(MediaError::Uploaded);
        }
        self.inner.came.notify_waiters();
        Ok(())
    }

    /// Keeps what comes, so long as it is not too long.
    async fn keep<E>(
        &self,
        media_id: &str,
        chunks: impl Stream<Item = Result<Bytes, E>> + Send,
    ) -> Result<u64, MediaError> {
        let (mut size, most) = (0_u64, self.inner.max_bytes);
        let counted = chunks.map(move |chunk| {
            let chunk = chunk.map_err(|_| MediaError::Interrupted)?;
            size = size.saturating_add(chunk.len() as u64);
            if size > most { Err(MediaError::TooLarge(most)) } else { Ok(chunk) }
        });
        self.inner.storage.put(media_id, counted.boxed()).await
    }

    /// The bytes of a file, or of a part of it; `None` where they are not there any more.
    ///
    /// # Errors
    /// As [`MediaError`] says; also in the stream, where it breaks off.
    pub async fn read(&self, file: &MediaFile, part: Option<ByteRange>) -> Result<Option<Chunks<'static>>, MediaError> {
        self.inner.storage.read(&file.key, part).await
    }

    /// Finds a file by its media id; one that is still to come is waited for.
    ///
    /// # Errors
    /// [`MediaError::NotYetUploaded`] if it does not come in time. An unknown or malformed id, and a file in quarantine, is
    /// `Ok(None)`.
    pub async fn find(&self, media_id: &str, patience: Duration) -> Result<Option<MediaFile>, MediaError> {
        let deadline = Instant::now() + patience;
        loop {
            let came = self.inner.came.notified();
            tokio::pin!(came);
            came.as_mut().enable();
            let Some(row) = self.row(media_id).await? else { return Ok(None) };
            let Some(until) = row.pending_until else { return self.found(row).await };
            if until <= self.now() {
                return Ok(None);
            }
            if tokio::time::timeout_at(deadline, came).await.is_err() {
                return Err(MediaError::NotYetUploaded);
            }
        }
    }

    /// Whether a file is from before the old endpoints, which ask for no token, were closed to new ones
    /// ([spec](https://spec.matrix.org/v1.19/client-server-api/#content-repo-client-behaviour)). An unknown or malformed id is not.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn is_open(&self, media_id: &str) -> Result<bool, MediaError> {
        Ok(is_media_id(media_id) && table::is_open(self.inner.local.db(), media_id).await?)
    }

    async fn row(&self, media_id: &str) -> Result<Option<MediaRow>, SqlError> {
        if !is_media_id(media_id) {
            return Ok(None);
        }
        table::read(self.inner.local.db(), media_id).await
    }

    async fn found(&self, row: MediaRow) -> Result<Option<MediaFile>, MediaError> {
        if row.quarantined_at.is_some() {
            return Ok(None);
        }
        let now = self.now();
        if row.last_access_at.is_none_or(|at| at + NOTED < now) {
            self.inner.local.write(vec![table::accessed(&row.media_id, now)]).await?;
        }
        Ok(Some(MediaFile {
            key: row.media_id,
            content_type: row.content_type,
            filename: row.filename,
            size: u64::try_from(row.size).unwrap_or(0),
        }))
    }

    /// A smaller picture of a file, made once and then kept; the file itself where it is small enough.
    ///
    /// # Errors
    /// [`MediaError::Picture`] where there can be none.
    pub async fn thumbnail(&self, media_id: &str, file: MediaFile, frame: Frame) -> Result<MediaFile, MediaError> {
        let size = (frame.width, frame.height);
        let method = frame.method.as_str();
        let known = table::thumbnail(self.inner.local.db(), media_id, size, method).await?;
        let key = thumbnail_key(media_id, size, method);
        let row = match known {
            Some(row) => row,
            None if table::thumbnails(self.inner.local.db(), media_id).await?.len() >= MAX_THUMBNAILS => {
                return Ok(file);
            }
            None => match self.shrink(&file, &key, frame).await? {
                None => return Ok(file),
                Some(row) => {
                    self.inner.local.write(vec![table::insert_thumbnail(media_id, size, method, &row)]).await?;
                    row
                }
            },
        };
        let size = u64::try_from(row.size).unwrap_or(0);
        Ok(MediaFile { key, content_type: Some(row.content_type), filename: None, size })
    }

    async fn shrink(&self, file: &MediaFile, key: &str, frame: Frame) -> Result<Option<ThumbnailRow>, MediaError> {
        let storage = &*self.inner.storage;
        let _slot = self.inner.pictures.acquire().await.map_err(|_| MediaError::Interrupted)?;
        let bytes = storage::whole(storage, &file.key).await?.ok_or(MediaError::NotFound)?;
        let work = move || picture::shrink(&bytes, frame);
        let small = tokio::task::spawn_blocking(work).await.map_err(|_| MediaError::Interrupted)??;
        let Some(small) = small else { return Ok(None) };
        let size = storage::put_whole(storage, key, small.bytes.into()).await?;
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        Ok(Some(ThumbnailRow { content_type: small.content_type.to_owned(), size }))
    }
}

/// What a thumbnail is kept under.
fn thumbnail_key(media_id: &str, (width, height): (u32, u32), method: &str) -> String {
    format!("{media_id}.{width}x{height}-{method}")
}

/// What an uploader says of a file.
#[derive(Clone, Copy, Debug, Default)]
pub struct Upload<'a> {
    /// What it is.
    pub content_type: Option<&'a str>,
    /// What it is called.
    pub filename: Option<&'a str>,
}

impl<'a> Upload<'a> {
    fn sized(self, size: u64) -> Described<'a> {
        Described {
            content_type: self.content_type.filter(|kind| kind.len() <= MAX_NAME_BYTES),
            filename: self.filename.filter(|name| name.len() <= MAX_NAME_BYTES && !name.contains('\0')),
            size: i64::try_from(size).unwrap_or(i64::MAX),
        }
    }
}

/// Letters and digits only: an id never leads out of the folder.
fn is_media_id(media_id: &str) -> bool {
    (3..=64).contains(&media_id.len()) && media_id.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

impl std::fmt::Debug for Media {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Media").field("storage", &self.inner.storage).finish_non_exhaustive()
    }
}
