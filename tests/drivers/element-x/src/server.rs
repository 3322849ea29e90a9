//! The server under test, in a process of its own that can be killed.

use std::{
    fs::OpenOptions,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result};

/// A server that keeps everything in one folder.
pub struct Server {
    binary: PathBuf,
    folder: PathBuf,
    listen: String,
    child: Child,
}

impl Server {
    /// Starts `landbridge up`, and returns when it says that it is up.
    pub fn start(binary: &Path, folder: &Path, listen: &str) -> Result<Self> {
        let log = OpenOptions::new().create(true).append(true).open(folder.join("server.log"))?;
        let mut child = Command::new(binary)
            .args(["up", "--listen", listen])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::from(log))
            .spawn()
            .with_context(|| format!("{} cannot be started", binary.display()))?;
        let mut lines = BufReader::new(child.stdout.take().context("its output")?).lines();
        lines.find(|line| line.as_ref().is_ok_and(|line| line.ends_with("is up."))).context("it did not start")??;
        // What else it says is nobody's, but has to be read.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Self { binary: binary.into(), folder: folder.into(), listen: listen.into(), child })
    }

    /// Kills it with SIGKILL.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Starts it again after it was killed.
    pub fn again(&mut self) -> Result<()> {
        *self = Self::start(&self.binary, &self.folder, &self.listen)?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}
