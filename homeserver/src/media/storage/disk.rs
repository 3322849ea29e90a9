//! Files on disk.

use std::{
    io::{self, ErrorKind, SeekFrom},
    path::{Path, PathBuf},
    sync::Arc,
    time::UNIX_EPOCH,
};

use async_trait::async_trait;
use futures_util::{
    StreamExt as _, TryStreamExt as _,
    stream::{self, BoxStream},
};
use tokio::{
    fs::{self, DirEntry, File, ReadDir},
    io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _},
};
use tokio_util::io::ReaderStream;

use super::{Chunks, Kept, Storage};
use crate::{
    entropy::Entropy,
    media::{ByteRange, MediaError},
};

/// Keeps files below a folder.
pub(in crate::media) struct Disk {
    folder: PathBuf,
    entropy: Arc<dyn Entropy>,
}

impl Disk {
    pub(in crate::media) fn new(folder: &Path, entropy: Arc<dyn Entropy>) -> Self {
        Self { folder: folder.to_owned(), entropy }
    }

    /// Two letters make a folder, so that none holds too many files.
    fn path(&self, key: &str) -> PathBuf {
        self.folder.join(key.get(..2).unwrap_or("--")).join(key)
    }

    /// Makes the names in a folder durable: a file's bytes are worth nothing without them.
    async fn keep_names(folder: &Path) -> io::Result<()> {
        File::open(folder).await?.sync_all().await
    }

    async fn receive(part: &Path, mut chunks: Chunks<'_>) -> Result<u64, MediaError> {
        let mut file = File::create(part).await?;
        let mut size = 0;
        while let Some(chunk) = chunks.try_next().await? {
            size += chunk.len() as u64;
            file.write_all(&chunk).await?;
        }
        file.flush().await?;
        file.sync_all().await?;
        Ok(size)
    }
}

#[async_trait]
impl Storage for Disk {
    async fn put(&self, key: &str, chunks: Chunks<'_>) -> Result<u64, MediaError> {
        let path = self.path(key);
        let folder = path.parent().unwrap_or(&self.folder);
        if !fs::try_exists(folder).await? {
            fs::create_dir_all(folder).await?;
            Self::keep_names(&self.folder).await?;
        }
        let part = path.with_extension(format!("{}.part", self.entropy.word(8)));
        let size = match Self::receive(&part, chunks).await {
            Ok(size) => size,
            Err(error) => {
                let _ = fs::remove_file(&part).await;
                return Err(error);
            }
        };
        fs::rename(&part, &path).await?;
        Self::keep_names(folder).await?;
        Ok(size)
    }

    async fn read(&self, key: &str, part: Option<ByteRange>) -> Result<Option<Chunks<'static>>, MediaError> {
        let mut file = match File::open(self.path(key)).await {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let length = match part {
            None => u64::MAX,
            Some(part) => {
                file.seek(SeekFrom::Start(part.first)).await?;
                part.length()
            }
        };
        let broken = |error: io::Error| MediaError::Disk(error);
        Ok(Some(ReaderStream::new(file.take(length)).map_err(broken).boxed()))
    }

    async fn delete(&self, key: &str) -> Result<(), MediaError> {
        match fs::remove_file(self.path(key)).await {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    fn all(&self) -> BoxStream<'_, Result<Kept, MediaError>> {
        let folders = stream::once(entries(self.folder.clone())).try_flatten();
        let files = folders.and_then(|folder| entries(folder.path())).try_flatten();
        files.and_then(kept).boxed()
    }
}

/// What lies in a folder; nothing where there is none.
async fn entries(folder: PathBuf) -> Result<BoxStream<'static, Result<DirEntry, MediaError>>, MediaError> {
    let entries = match fs::read_dir(folder).await {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(stream::empty().boxed());
        }
        Err(error) => return Err(error.into()),
    };
    let next = async |mut entries: ReadDir| Ok(entries.next_entry().await?.map(|entry| (entry, entries)));
    Ok(stream::try_unfold(entries, next).boxed())
}

async fn kept(entry: DirEntry) -> Result<Kept, MediaError> {
    let written = entry.metadata().await?.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    let written_at = i64::try_from(written.as_millis()).unwrap_or(i64::MAX);
    Ok(Kept { key: entry.file_name().to_string_lossy().into_owned(), written_at })
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk").field("folder", &self.folder).finish_non_exhaustive()
    }
}
