//! The content repository: uploaded files on disk, streamed both ways ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#content-repository

mod picture;
mod range;
mod upkeep;

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use landbridge_sql::SqlError;
use parking_lot::Mutex;
use ruma::UserId;
use tokio::{
    io::AsyncWriteExt as _,
    sync::{Notify, Semaphore},
    time::Instant,
};

pub use self::{
    picture::{Frame, MAX_PIXELS, Method, PictureError},
    range::{ByteRange, range_of},
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

/// How long after the last time it is noted again that somebody asked for a file, in milliseconds.
const NOTED: i64 = 60 * 60 * 1000;

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
        let (came, pictures) = (Notify::new(), Semaphore::new(PICTURES_AT_ONCE));
        Self {
            inner: Arc::new(Inner {
                local,
                folder: folder.to_owned(),
                max_bytes,
                clock,
                entropy,
                came,
                pictures,
                filling: Arc::default(),
            }),
        }
    }

    /// The longest file taken, in bytes.
    #[must_use]
    pub fn max_bytes(&self) -> u64 {
        self.inner.max_bytes
    }

    fn now(&self) -> i64 {
        i64::from(self.inner.clock.now().0)
    }

    /// Writes a file to the disk as it comes in, and gives its media id once it is durable. A file that is too long or breaks
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
        let path = self.path(&media_id);
        let size = self.keep(&path, chunks).await?;
        let row = table::insert(&media_id, owner.as_str(), described.sized(size), self.now());
        if let Err(error) = self.inner.local.write(vec![row]).await {
            let _ = tokio::fs::remove_file(&path).await;
            return Err(error.into());
        }
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
        let size = self.keep(&self.path(media_id), chunks).await?;
        let filled = self.inner.local.write(vec![table::fill(media_id, described.sized(size))]).await?;
        if filled.rows == 0 {
            return Err(MediaError::Uploaded);
        }
        self.inner.came.notify_waiters();
        Ok(())
    }

    async fn keep<E>(
        &self,
        path: &Path,
        chunks: impl Stream<Item = Result<Bytes, E>> + Send,
    ) -> Result<u64, MediaError> {
        if let Some(folder) = path.parent() {
            tokio::fs::create_dir_all(folder).await?;
        }
        let part = path.with_extension(format!("{}.part", self.inner.entropy.word(8)));
        match self.receive(&part, chunks).await {
            Ok(size) => {
                tokio::fs::rename(&part, path).await?;
                Ok(size)
            }
            Err(error) => {
                let _ = tokio::fs::remove_file(&part).await;
                Err(error)
            }
        }
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
            path: self.path(&row.media_id),
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
        let path = self.path(media_id).with_extension(format!("{}x{}-{method}", frame.width, frame.height));
        let known = table::thumbnail(self.inner.local.db(), media_id, size, method).await?;
        let row = match known {
            Some(row) => row,
            None => match self.shrink(&file, &path, frame).await? {
                None => return Ok(file),
                Some(row) => {
                    self.inner.local.write(vec![table::insert_thumbnail(media_id, size, method, &row)]).await?;
                    row
                }
            },
        };
        Ok(MediaFile {
            path,
            content_type: Some(row.content_type),
            filename: None,
            size: u64::try_from(row.size).unwrap_or(0),
        })
    }

    async fn shrink(&self, file: &MediaFile, path: &Path, frame: Frame) -> Result<Option<ThumbnailRow>, MediaError> {
        let gone = |_| MediaError::Interrupted;
        let _slot = self.inner.pictures.acquire().await.map_err(gone)?;
        let (source, target) = (file.path.clone(), path.to_owned());
        let part = path.with_extension(format!("{}.part", self.inner.entropy.word(8)));
        let work = move || -> Result<Option<ThumbnailRow>, MediaError> {
            let bytes = std::fs::read(source)?;
            let Some(small) = picture::shrink(&bytes, frame)? else { return Ok(None) };
            std::fs::write(&part, &small.bytes)?;
            std::fs::rename(&part, &target)?;
            let size = i64::try_from(small.bytes.len()).unwrap_or(i64::MAX);
            Ok(Some(ThumbnailRow { content_type: small.content_type.to_owned(), size }))
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| MediaError::Interrupted)?
    }

    /// Two letters make a folder, so that none holds too many files.
    fn path(&self, media_id: &str) -> PathBuf {
        self.inner.folder.join(media_id.get(..2).unwrap_or("--")).join(media_id)
    }
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
        f.debug_struct("Media").field("folder", &self.inner.folder).finish_non_exhaustive()
    }
}
