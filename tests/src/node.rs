//! Programs that run on Node, with the libraries that `tests/run` installed.

use std::{
    fs,
    path::PathBuf,
    process::Stdio,
    sync::atomic::{AtomicU64, Ordering},
};

use tokio::process::Command;

static NUMBER: AtomicU64 = AtomicU64::new(0);

/// A script of `tests/drivers/js`, where Node finds its libraries: beside them. It goes with this value.
#[derive(Debug)]
pub struct NodeScript {
    file: PathBuf,
    folder: PathBuf,
}

impl NodeScript {
    /// The script of this name.
    pub fn of(name: &str) -> Self {
        let folder = crate::files::environment().join("js");
        assert!(folder.join("node_modules/matrix-js-sdk").exists(), "tests/run installs the libraries into {folder:?}");
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        // A folder of its own, above which the libraries are found, with whatever the script imports.
        let folder = folder.join(format!("run-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        for script in fs::read_dir(crate::files::own("drivers/js")).expect("the scripts") {
            let script = script.expect("a script").path();
            if script.extension().is_some_and(|extension| extension == "mjs") {
                fs::copy(&script, folder.join(script.file_name().expect("a name"))).expect("a copy of the script");
            }
        }
        Self { file: folder.join(name), folder }
    }

    /// Runs it, with nothing to read; it ends with the value that is made of this.
    pub fn command(&self) -> Command {
        let mut command = Command::new("node");
        let preload = crate::files::own("drivers/js/no-crypto.cjs");
        command.arg("--require").arg(preload).arg(&self.file);
        command.current_dir(&self.folder).stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Runs it to its end, and checks that it says so in the end.
    pub async fn tells(&self, arguments: &[&str], end: &str) {
        let told = self.command().args(arguments).output().await.expect("node");
        let (out, err) = (String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
        assert!(told.status.success() && out.contains(end), "{out}\n{err}");
    }
}

impl Drop for NodeScript {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
