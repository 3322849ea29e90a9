//! Where the bytes of files are: on disk, or in a store of objects.

mod disk;
mod objects;

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream::BoxStream};

pub use self::objects::S3;
pub(super) use self::{disk::Disk, objects::Objects};
use super::{ByteRange, MediaError};

/// Bytes as they come.
pub type Chunks<'a> = BoxStream<'a, Result<Bytes, MediaError>>;

/// Keeps the bytes of files under keys. A key is made of letters, digits, points and hyphens; it is never used for other bytes.
#[async_trait]
pub trait Storage: Send + Sync + fmt::Debug {
    /// Keeps what comes, and says how much it was, once it is durable. Where it breaks off, nothing stays.
    ///
    /// # Errors
    /// The error of `chunks`, or [`MediaError::Disk`] or [`MediaError::Objects`].
    async fn put(&self, key: &str, chunks: Chunks<'_>) -> Result<u64, MediaError>;

    /// The bytes of a file, or of a part of it; `None` where there is no such file.
    ///
    /// # Errors
    /// [`MediaError::Disk`] or [`MediaError::Objects`].
    async fn read(&self, key: &str, part: Option<ByteRange>) -> Result<Option<Chunks<'static>>, MediaError>;

    /// Forgets a file; one that is not there is no error.
    ///
    /// # Errors
    /// [`MediaError::Disk`] or [`MediaError::Objects`].
    async fn delete(&self, key: &str) -> Result<(), MediaError>;

    /// Everything that lies there, in no order; also what a stop left half done, under a key of its own.
    fn all(&self) -> BoxStream<'_, Result<Kept, MediaError>>;
}

/// Something that lies in a [`Storage`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// What [`Storage::delete`] takes.
    pub key: String,
    /// When it was written, in milliseconds since 1970.
    pub written_at: i64,
}

/// Where files are kept.
#[derive(Clone, Debug, Default)]
pub enum MediaStorage {
    /// In the folder `media` of the data directory.
    #[default]
    Disk,
    /// In memory, until the server stops. For tests.
    Memory,
    /// In a bucket.
    S3(S3),
    /// Somewhere else.
    Other(Arc<dyn Storage>),
}

/// All bytes of a file.
pub(super) async fn whole(storage: &dyn Storage, key: &str) -> Result<Option<Vec<u8>>, MediaError> {
    let Some(mut chunks) = storage.read(key, None).await? else { return Ok(None) };
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.try_next().await? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(Some(bytes))
}

/// Keeps bytes that are there already.
pub(super) async fn put_whole(storage: &dyn Storage, key: &str, bytes: Bytes) -> Result<u64, MediaError> {
    storage.put(key, futures_util::stream::once(async { Ok(bytes) }).boxed()).await
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use object_store::memory::InMemory;

    use super::*;
    use crate::entropy::SystemEntropy;

    fn chunks(parts: Vec<Result<Vec<u8>, MediaError>>) -> Chunks<'static> {
        stream::iter(parts).map_ok(Bytes::from).boxed()
    }

    async fn read(storage: &dyn Storage, key: &str, part: Option<(u64, u64)>) -> Option<Vec<u8>> {
        let part = part.map(|(first, last)| ByteRange { first, last });
        let chunks = storage.read(key, part).await.unwrap()?;
        let chunks: Vec<Bytes> = chunks.try_collect().await.unwrap();
        Some(chunks.concat())
    }

    /// What every storage does.
    async fn keeps(storage: &dyn Storage) {
        assert_eq!(storage.put("abc", chunks(vec![Ok(b"012".to_vec()), Ok(b"345".to_vec())])).await.unwrap(), 6);
        assert_eq!(read(storage, "abc", None).await.unwrap(), b"012345");
        assert_eq!(read(storage, "abc", Some((2, 4))).await.unwrap(), b"234");
        // More than one part of an upload to a bucket.
        let long: Vec<_> = (0..13).map(|number| vec![number; 1024 * 1024]).collect();
        let size = storage.put("long", chunks(long.iter().cloned().map(Ok).collect())).await.unwrap();
        assert_eq!((size, read(storage, "long", None).await.unwrap() == long.concat()), (13 * 1024 * 1024, true));
        assert_eq!(read(storage, "long", Some((12 * 1024 * 1024 - 1, 12 * 1024 * 1024))).await.unwrap(), [11, 12]);
        // Broken off, early and late.
        for before in [0, 12] {
            let mut parts: Vec<_> = (0..before).map(|_| Ok(vec![0; 1024 * 1024])).collect();
            parts.push(Err(MediaError::Interrupted));
            let broken = storage.put("broken", chunks(parts)).await;
            assert!(matches!(broken, Err(MediaError::Interrupted)), "{broken:?}");
            assert!(read(storage, "broken", None).await.is_none());
        }
        assert_eq!(storage.put("empty", chunks(vec![])).await.unwrap(), 0);
        assert_eq!(read(storage, "empty", None).await.unwrap(), b"");
        let mut kept: Vec<Kept> = storage.all().try_collect().await.unwrap();
        kept.sort_by(|a, b| a.key.cmp(&b.key));
        assert_eq!(kept.iter().map(|kept| &*kept.key).collect::<Vec<_>>(), ["abc", "empty", "long"]);
        assert!(kept.iter().all(|kept| kept.written_at > 1_600_000_000_000), "{kept:?}");
        storage.delete("abc").await.unwrap();
        storage.delete("abc").await.unwrap();
        assert!(read(storage, "abc", None).await.is_none());
    }

    #[tokio::test]
    async fn the_disk_keeps_files() {
        let folder = tempfile::tempdir().unwrap();
        keeps(&Disk::new(folder.path(), Arc::new(SystemEntropy))).await;
        let left: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap())
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(left.len(), 2, "nothing half stays: {left:?}");
    }

    #[tokio::test]
    async fn a_store_of_objects_keeps_files() {
        keeps(&Objects::new(Arc::new(InMemory::new()), "media")).await;
    }
}
