//! The data directory.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use ruma::{OwnedServerName, ServerName, owned_server_name};

/// The data directory, which is this process's alone as long as this lives.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    /// Locked; the lock ends with the process, however it ends.
    _lock: File,
}

impl DataDir {
    /// Makes it where it is not there, and takes it.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let cannot = || format!("the data directory {} cannot be used", path.display());
        make(path).with_context(cannot)?;
        let lock = File::create(path.join("lock")).with_context(cannot)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(fs::TryLockError::WouldBlock) => {
                bail!("the data directory {} is in use by another landbridge", path.display())
            }
            Err(fs::TryLockError::Error(error)) => Err(error).with_context(cannot),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The server's name: as it was at the first start, which decides.
    pub(crate) fn server_name(&self, wanted: Option<&ServerName>) -> anyhow::Result<OwnedServerName> {
        let file = self.path.join("server_name");
        let cannot = || format!("{} cannot be used", file.display());
        match fs::read_to_string(&file) {
            Ok(text) => {
                let name: OwnedServerName = text.trim().try_into().with_context(cannot)?;
                match wanted {
                    Some(wanted) if *wanted != name => bail!(
                        "the server in {} is called {name}, which is part of every id in it and cannot be changed to \
                         {wanted}. Leave out --server-name, or give another --data.",
                        self.path.display()
                    ),
                    _ => Ok(name),
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let name = wanted.map_or_else(|| owned_server_name!("localhost"), ToOwned::to_owned);
                fs::write(&file, format!("{name}\n")).with_context(cannot)?;
                Ok(name)
            }
            Err(error) => Err(error).with_context(cannot),
        }
    }
}

/// For its owner alone: messages and keys are in it.
fn make(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

#[cfg(test)]
mod tests {
    use ruma::server_name;

    use super::*;

    #[test]
    fn the_first_start_decides_on_the_servers_name() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(&folder.path().join("a/b")).unwrap();
        assert_eq!(data.server_name(Some(server_name!("example.org"))).unwrap(), "example.org");
        assert_eq!(data.server_name(None).unwrap(), "example.org");
        let refused = data.server_name(Some(server_name!("other.org"))).unwrap_err().to_string();
        assert!(refused.contains("is called example.org"), "{refused}");
    }

    #[test]
    fn without_a_name_it_is_localhost() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(folder.path()).unwrap();
        assert_eq!(data.server_name(None).unwrap(), "localhost");
    }

    #[test]
    fn two_processes_cannot_have_one_directory() {
        let folder = tempfile::tempdir().unwrap();
        let first = DataDir::open(folder.path()).unwrap();
        assert!(DataDir::open(folder.path()).unwrap_err().to_string().contains("in use"));
        drop(first);
        DataDir::open(folder.path()).unwrap();
    }
}
