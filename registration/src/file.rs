//! Registration files.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use crate::{Faults, Registration, Token};

/// How large a registration file may be.
pub const MAX_FILE_BYTES: u64 = 16 << 20;

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The operating system says no.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is over [`MAX_FILE_BYTES`], or not UTF-8.
    #[error("{}: not a registration: {why}", path.display())]
    NotText {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: &'static str,
    },
    /// The text is no registration. Each fault on a line of its own, as `file:line:column: field: problem. fix`.
    #[error("{}", each_with_file(path, faults))]
    Invalid {
        /// Which file.
        path: PathBuf,
        /// All that is wrong with it.
        faults: Faults,
    },
}

fn each_with_file(path: &Path, faults: &Faults) -> String {
    let line = |fault| format!("{}:{}{fault}", path.display(), if has_place(fault) { "" } else { " " });
    faults.0.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn has_place(fault: &crate::Fault) -> bool {
    fault.at.is_some()
}

/// Reads a registration file.
///
/// # Errors
/// See [`ReadError`].
pub fn read(path: &Path) -> Result<Registration, ReadError> {
    let io = |source| ReadError::Io { path: path.to_owned(), source };
    let not_text = |why| ReadError::NotText { path: path.to_owned(), why };
    let mut bytes = Vec::new();
    File::open(path).map_err(io)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(not_text("the file is larger than 16 MiB"));
    }
    let text = String::from_utf8(bytes).map_err(|_| not_text("the file is not UTF-8"))?;
    Registration::from_yaml(&text).map_err(|faults| ReadError::Invalid { path: path.to_owned(), faults })
}

/// What to do if the file exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overwrite {
    /// Fail with [`io::ErrorKind::AlreadyExists`].
    Never,
    /// Replace it. Readers see the old file or the new one, never half of one.
    Replace,
}

/// Writes a registration file, readable by its owner alone. After a crash there is the old file, or all of the new one.
///
/// # Errors
/// Those of the operating system; [`io::ErrorKind::InvalidInput`] if the registration is faulty.
pub fn write(path: &Path, registration: &Registration, overwrite: Overwrite) -> io::Result<()> {
    let invalid = |error: Faults| io::Error::new(io::ErrorKind::InvalidInput, error);
    registration.validate().map_err(invalid)?;
    let text = registration.to_yaml().map_err(invalid)?;
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let temporary = folder.join(temporary_name(path)?);
    let written = write_all(&temporary, text.as_bytes()).and_then(|()| place(&temporary, path, overwrite));
    if written.is_err() || overwrite == Overwrite::Never {
        let removed = fs::remove_file(&temporary);
        written.and(removed)?;
    }
    File::open(folder)?.sync_all()
}

fn temporary_name(path: &Path) -> io::Result<String> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    let unique = Token::generate().map_err(io::Error::other)?;
    Ok(format!(".{name}.{}.tmp", unique.reveal()))
}

fn write_all(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// A hard link fails if the name is taken; a rename replaces.
fn place(temporary: &Path, path: &Path, overwrite: Overwrite) -> io::Result<()> {
    match overwrite {
        Overwrite::Never => fs::hard_link(temporary, path),
        Overwrite::Replace => fs::rename(temporary, path),
    }
}
