//! The tables `media` and `media_thumbnail`: what is known of each file; its bytes are elsewhere.

use landbridge_sql::{Db, Row, SqlError, Value};

use super::statement::{Statement, statement};

/// A row of `media`.
#[derive(Clone, Debug)]
pub(crate) struct MediaRow {
    pub(crate) media_id: String,
    pub(crate) owner: String,
    pub(crate) content_type: Option<String>,
    pub(crate) filename: Option<String>,
    pub(crate) size: i64,
    pub(crate) created_at: i64,
    pub(crate) last_access_at: Option<i64>,
    pub(crate) quarantined_at: Option<i64>,
    /// Until when its bytes may still come; `None` once they are there.
    pub(crate) pending_until: Option<i64>,
}

macro_rules! columns {
    ($rest:literal) => {
        concat!(
            "SELECT media_id, owner, content_type, filename, size, created_at, last_access_at, quarantined_at, \
             pending_until FROM media ",
            $rest
        )
    };
}

fn media(row: &Row) -> Result<MediaRow, SqlError> {
    Ok(MediaRow {
        media_id: row.text(0)?,
        owner: row.text(1)?,
        content_type: row.opt_text(2)?,
        filename: row.opt_text(3)?,
        size: row.int(4)?,
        created_at: row.int(5)?,
        last_access_at: row.opt_int(6)?,
        quarantined_at: row.opt_int(7)?,
        pending_until: row.opt_int(8)?,
    })
}

/// What an uploader says of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Described<'a> {
    pub(crate) content_type: Option<&'a str>,
    pub(crate) filename: Option<&'a str>,
    pub(crate) size: i64,
}

pub(crate) fn insert(media_id: &str, owner: &str, file: Described<'_>, at: i64) -> Statement {
    statement!(
        "INSERT INTO media (media_id, owner, content_type, filename, size, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
        media_id,
        owner,
        file.content_type,
        file.filename,
        file.size,
        at
    )
}

/// Keeps a name for a file that is to come.
pub(crate) fn reserve(media_id: &str, owner: &str, at: i64, until: i64) -> Statement {
    statement!(
        "INSERT INTO media (media_id, owner, size, created_at, pending_until) VALUES ($1, $2, 0, $3, $4)",
        media_id,
        owner,
        at,
        until
    )
}

/// The file that a name was kept for has come; touches no row where another came first.
pub(crate) fn fill(media_id: &str, file: Described<'_>) -> Statement {
    statement!(
        "UPDATE media SET content_type = $2, filename = $3, size = $4, pending_until = NULL \
         WHERE media_id = $1 AND pending_until IS NOT NULL",
        media_id,
        file.content_type,
        file.filename,
        file.size
    )
}

pub(crate) fn accessed(media_id: &str, at: i64) -> Statement {
    statement!("UPDATE media SET last_access_at = $2 WHERE media_id = $1", media_id, at)
}

pub(crate) fn set_quarantined(media_id: &str, at: Option<i64>) -> Statement {
    statement!("UPDATE media SET quarantined_at = $2 WHERE media_id = $1", media_id, at)
}

pub(crate) fn delete(media_id: &str) -> Vec<Statement> {
    vec![
        statement!("DELETE FROM media_thumbnail WHERE media_id = $1", media_id),
        statement!("DELETE FROM media WHERE media_id = $1", media_id),
    ]
}

pub(crate) async fn read(db: &Db, media_id: &str) -> Result<Option<MediaRow>, SqlError> {
    let row = db.fetch_optional(columns!("WHERE media_id = $1"), &[Value::from(media_id)]).await?;
    row.map(|row| media(&row)).transpose()
}

/// Whether a file is from before the old endpoints were closed to new ones.
pub(crate) async fn is_open(db: &Db, media_id: &str) -> Result<bool, SqlError> {
    let row = db.fetch_optional("SELECT open FROM media WHERE media_id = $1", &[Value::from(media_id)]).await?;
    row.map_or(Ok(false), |row| Ok(row.int(0)? != 0))
}

/// How many names a user keeps for files that have not come yet.
pub(crate) async fn pending(db: &Db, owner: &str, now: i64) -> Result<i64, SqlError> {
    let sql = "SELECT count(*) FROM media WHERE owner = $1 AND pending_until > $2";
    db.fetch_optional(sql, &[Value::from(owner), Value::from(now)]).await?.map_or(Ok(0), |row| row.int(0))
}

/// The files of a user, the newest first.
pub(crate) async fn of_owner(db: &Db, owner: &str, limit: i64) -> Result<Vec<MediaRow>, SqlError> {
    let sql = columns!("WHERE owner = $1 ORDER BY created_at DESC, media_id LIMIT $2");
    db.fetch_all(sql, &[Value::from(owner), Value::from(limit)]).await?.iter().map(media).collect()
}

/// Whose the pictures of linked pages are.
pub(crate) const OF_PREVIEWS: &str = "previews";

/// Files whose bytes never came in time, pictures of linked pages from before a time, and files that nobody has asked for since
/// a time (`i64::MIN`: none of these).
pub(crate) async fn stale(
    db: &Db,
    now: i64,
    previews_before: i64,
    unused_since: i64,
    limit: i64,
) -> Result<Vec<MediaRow>, SqlError> {
    let sql = columns!(
        "WHERE pending_until < $1 OR (owner = $2 AND created_at < $3) \
         OR (pending_until IS NULL AND COALESCE(last_access_at, created_at) < $4) LIMIT $5"
    );
    let values = [
        Value::from(now),
        Value::from(OF_PREVIEWS),
        Value::from(previews_before),
        Value::from(unused_since),
        Value::from(limit),
    ];
    db.fetch_all(sql, &values).await?.iter().map(media).collect()
}

/// How many files there are, and their bytes together.
pub(crate) async fn total(db: &Db) -> Result<(i64, i64), SqlError> {
    let row = db.fetch_optional("SELECT count(*), CAST(COALESCE(sum(size), 0) AS BIGINT) FROM media", &[]).await?;
    row.map_or(Ok((0, 0)), |row| Ok((row.int(0)?, row.int(1)?)))
}

/// A row of `media_thumbnail`.
#[derive(Clone, Debug)]
pub(crate) struct ThumbnailRow {
    pub(crate) content_type: String,
    pub(crate) size: i64,
}

pub(crate) fn insert_thumbnail(
    media_id: &str,
    (width, height): (u32, u32),
    method: &str,
    thumbnail: &ThumbnailRow,
) -> Statement {
    statement!(
        "INSERT INTO media_thumbnail (media_id, width, height, method, content_type, size) VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (media_id, width, height, method) DO UPDATE SET content_type = excluded.content_type, \
         size = excluded.size",
        media_id,
        i64::from(width),
        i64::from(height),
        method,
        thumbnail.content_type.as_str(),
        thumbnail.size
    )
}

pub(crate) async fn thumbnail(
    db: &Db,
    media_id: &str,
    (width, height): (u32, u32),
    method: &str,
) -> Result<Option<ThumbnailRow>, SqlError> {
    let sql = "SELECT content_type, size FROM media_thumbnail WHERE media_id = $1 AND width = $2 AND height = $3 \
               AND method = $4";
    let values =
        [Value::from(media_id), Value::from(i64::from(width)), Value::from(i64::from(height)), Value::from(method)];
    db.fetch_optional(sql, &values)
        .await?
        .map(|row| Ok(ThumbnailRow { content_type: row.text(0)?, size: row.int(1)? }))
        .transpose()
}

/// The sizes and methods of a file's thumbnails.
pub(crate) async fn thumbnails(db: &Db, media_id: &str) -> Result<Vec<(u32, u32, String)>, SqlError> {
    let sql = "SELECT width, height, method FROM media_thumbnail WHERE media_id = $1";
    let side = |side: i64| u32::try_from(side).unwrap_or(0);
    let rows = db.fetch_all(sql, &[Value::from(media_id)]).await?;
    rows.iter().map(|row| Ok((side(row.int(0)?), side(row.int(1)?), row.text(2)?))).collect()
}
