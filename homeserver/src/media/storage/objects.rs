//! Files in a store of objects: a bucket of S3 or of what speaks its protocol, or memory.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use http_body_util::BodyExt as _;
use object_store::{
    ClientOptions, Error, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt as _, RetryConfig,
    aws::AmazonS3Builder,
    buffered::BufWriter,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
    },
    path::Path,
};
use tokio::io::AsyncWriteExt as _;

use super::{Chunks, Kept, Storage};
use crate::media::{ByteRange, MediaError};

/// How long a part of a file is, in bytes; shorter files are sent whole. One upload holds two in memory.
const PART: usize = 5 * 1024 * 1024;

/// How long the store may be silent.
const PATIENCE: Duration = Duration::from_secs(30);

/// A bucket.
#[derive(Clone)]
pub struct S3 {
    /// Its name.
    pub bucket: String,
    /// Where the service answers; `None`: Amazon's.
    pub endpoint: Option<String>,
    /// Its region; services of one's own mostly take any.
    pub region: String,
    /// Who asks.
    pub access_key_id: String,
    /// What only that one knows.
    pub secret_access_key: String,
    /// What the names of all objects begin with, so that a bucket can be shared.
    pub prefix: String,
}

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3").field("bucket", &self.bucket).field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// Keeps files as objects.
#[derive(Debug)]
pub(in crate::media) struct Objects {
    store: Arc<dyn ObjectStore>,
    prefix: String,
}

impl Objects {
    pub(in crate::media) fn new(store: Arc<dyn ObjectStore>, prefix: &str) -> Self {
        Self { store, prefix: prefix.trim_matches('/').to_owned() }
    }

    /// Opens a bucket. Nothing is asked of it yet.
    pub(in crate::media) fn bucket(bucket: &S3) -> Result<Self, MediaError> {
        let client = reqwest::Client::builder()
            .connect_timeout(PATIENCE)
            .read_timeout(PATIENCE)
            .build()
            .map_err(|error| MediaError::Objects(generic(error.without_url())))?;
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&bucket.bucket)
            .with_region(&bucket.region)
            .with_access_key_id(&bucket.access_key_id)
            .with_secret_access_key(&bucket.secret_access_key)
            .with_retry(RetryConfig { max_retries: 3, retry_timeout: PATIENCE, ..RetryConfig::default() })
            .with_http_connector(Connector(client));
        if let Some(endpoint) = &bucket.endpoint {
            builder = builder.with_endpoint(endpoint).with_allow_http(true);
        }
        Ok(Self::new(Arc::new(builder.build()?), &bucket.prefix))
    }

    /// Two letters make a folder, as on disk.
    fn path(&self, key: &str) -> Path {
        let parts = [self.prefix.as_str(), key.get(..2).unwrap_or("--"), key];
        parts.into_iter().flat_map(|part| part.split('/')).filter(|part| !part.is_empty()).collect()
    }
}

fn generic(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Generic { store: "S3", source: Box::new(error) }
}

async fn send(writer: &mut BufWriter, chunks: &mut Chunks<'_>) -> Result<u64, MediaError> {
    let mut size = 0;
    while let Some(chunk) = chunks.try_next().await? {
        size += chunk.len() as u64;
        writer.put(chunk).await?;
    }
    Ok(size)
}

#[async_trait]
impl Storage for Objects {
    async fn put(&self, key: &str, mut chunks: Chunks<'_>) -> Result<u64, MediaError> {
        let mut writer = BufWriter::with_capacity(self.store.clone(), self.path(key), PART).with_max_concurrency(1);
        match send(&mut writer, &mut chunks).await {
            Ok(size) => {
                writer.shutdown().await?;
                Ok(size)
            }
            Err(error) => {
                // What came so far is no object yet; the store may keep it for a while where this fails.
                let _ = writer.abort().await;
                Err(error)
            }
        }
    }

    async fn read(&self, key: &str, part: Option<ByteRange>) -> Result<Option<Chunks<'static>>, MediaError> {
        let range = part.map(|part| GetRange::Bounded(part.first..part.last.saturating_add(1)));
        let options = GetOptions { range, ..GetOptions::default() };
        match self.store.get_opts(&self.path(key), options).await {
            Ok(found) => Ok(Some(found.into_stream().map_err(MediaError::Objects).boxed())),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn delete(&self, key: &str) -> Result<(), MediaError> {
        match self.store.delete(&self.path(key)).await {
            Err(Error::NotFound { .. }) | Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn all(&self) -> BoxStream<'_, Result<Kept, MediaError>> {
        let prefix: Path = self.prefix.split('/').filter(|part| !part.is_empty()).collect();
        let kept = |meta: ObjectMeta| Kept {
            key: meta.location.filename().unwrap_or_default().to_owned(),
            written_at: meta.last_modified.timestamp_millis(),
        };
        self.store.list(Some(&prefix)).map_ok(kept).map_err(MediaError::Objects).boxed()
    }
}

/// Carries the requests of the object store over this program's own client.
#[derive(Clone, Debug)]
struct Connector(reqwest::Client);

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

fn failed(error: reqwest::Error) -> HttpError {
    let kind = match &error {
        error if error.is_timeout() => HttpErrorKind::Timeout,
        error if error.is_connect() => HttpErrorKind::Connect,
        error if error.is_request() => HttpErrorKind::Request,
        error if error.is_body() => HttpErrorKind::Interrupted,
        _ => HttpErrorKind::Unknown,
    };
    HttpError::new(kind, error.without_url())
}

#[async_trait]
impl HttpService for Connector {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (head, body) = request.into_parts();
        let unreadable = |error| HttpError::new(HttpErrorKind::Unknown, error);
        let url = head.uri.to_string().parse::<url::Url>().map_err(unreadable)?;
        let mut request = reqwest::Request::new(head.method, url);
        *request.headers_mut() = head.headers;
        let bytes = body.collect().await.map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?.to_bytes();
        *request.body_mut() = Some(bytes.into());
        let answer: http::Response<reqwest::Body> = self.0.execute(request).await.map_err(failed)?.into();
        let (head, body) = answer.into_parts();
        Ok(HttpResponse::from_parts(head, HttpResponseBody::new(body.map_err(failed))))
    }
}
