//! The table `media`: what is known of each uploaded file; its bytes are on disk.

use landbridge_sql::{Db, SqlError, Value};

use super::statement::{Statement, statement};

/// A row of `media`.
#[derive(Clone, Debug)]
pub(crate) struct MediaRow {
    pub(crate) content_type: Option<String>,
    pub(crate) filename: Option<String>,
    pub(crate) size: i64,
}

pub(crate) fn insert(
    media_id: &str,
    owner: &str,
    content_type: Option<&str>,
    filename: Option<&str>,
    size: i64,
    at: i64,
) -> Statement {
    statement!(
        "INSERT INTO media (media_id, owner, content_type, filename, size, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
        media_id,
        owner,
        content_type,
        filename,
        size,
        at
    )
}

pub(crate) async fn read(db: &Db, media_id: &str) -> Result<Option<MediaRow>, SqlError> {
    db.fetch_optional("SELECT content_type, filename, size FROM media WHERE media_id = $1", &[Value::from(media_id)])
        .await?
        .map(|row| Ok(MediaRow { content_type: row.opt_text(0)?, filename: row.opt_text(1)?, size: row.int(2)? }))
        .transpose()
}
