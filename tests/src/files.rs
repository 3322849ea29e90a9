//! Folders of a test's own, and the places of things that the repository or the build brings.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

/// A fresh folder that every local user may enter (some servers give up root), removed at the end.
///
/// With `LANDBRIDGE_TEST_KEEP` set it stays, and its path is printed.
#[derive(Debug)]
pub struct Workdir(Option<TempDir>);

impl Workdir {
    /// Makes the folder.
    pub fn new(name: &str) -> Self {
        let dir =
            tempfile::Builder::new().prefix(&format!("landbridge-{name}-")).tempdir().expect("a temporary folder");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("permissions");
        Self(Some(dir))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.as_ref().expect("only Drop takes the folder").path()
    }

    /// A path inside it, made into a folder.
    pub fn folder(&self, name: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(&path).expect("a folder");
        path
    }

    /// Writes a file into it.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, text).expect("a file in the test's folder");
        path
    }
}

impl Drop for Workdir {
    fn drop(&mut self) {
        if let Some(dir) = self.0.take()
            && std::env::var_os("LANDBRIDGE_TEST_KEEP").is_some()
        {
            eprintln!("kept: {}", dir.keep().display());
        }
    }
}

/// A file of this crate's folder.
pub(crate) fn own(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A file of this crate's folder as text, `@NAME@`s replaced.
pub(crate) fn template(path: &str, values: &[(&str, &str)]) -> String {
    let text = fs::read_to_string(own(path)).expect("a template of this crate");
    values.iter().fold(text, |text, (name, value)| text.replace(&format!("@{name}@"), value))
}

/// The folder that cargo builds into: a test runs from its `debug/deps` or `release/deps`.
pub(crate) fn build_folder() -> PathBuf {
    let own = std::env::current_exe().expect("a test knows its own file");
    let folder = own.ancestors().find(|path| path.join("deps").is_dir() && path.join(".fingerprint").is_dir());
    folder.expect("a test runs from a build folder").to_owned()
}

/// The test environment that `tests/run` makes.
pub(crate) fn environment() -> PathBuf {
    std::env::var_os("LANDBRIDGE_TEST_ENV")
        .map_or_else(|| build_folder().parent().expect("a build folder lies in target").join("test-env"), PathBuf::from)
}

/// The Python interpreter of the test environment.
pub(crate) fn python() -> PathBuf {
    let python = environment().join("venv/bin/python");
    assert!(
        python.exists(),
        "{} is missing: run tests/run once, it installs what the scenarios need",
        python.display()
    );
    python
}
