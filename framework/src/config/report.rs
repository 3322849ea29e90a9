//! What is wrong with a configuration, and where.

use std::{fmt, path::PathBuf};

use landbridge_registration::Position;

use crate::network::ConfigIssue;

/// A fault with its place, shown as `file:line:column: path: problem. Fix.`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file.
    pub file: PathBuf,
    /// Where in it.
    pub at: Option<Position>,
    /// What, and what to do.
    pub issue: ConfigIssue,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ConfigIssue { path, fatal, problem, fix } = &self.issue;
        write!(f, "{}", self.file.display())?;
        if let Some(at) = self.at {
            write!(f, ":{}:{}", at.line, at.column)?;
        }
        let advice = if *fatal { "" } else { "advice: " };
        let colon = if path.is_empty() { "" } else { ": " };
        write!(f, ": {advice}{path}{colon}{}. {}", problem.trim_end_matches('.'), sentence(fix))
    }
}

/// With a capital letter and a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    let stop = if text.ends_with(['.', '?', '!']) || text.is_empty() { "" } else { "." };
    format!("{first}{}{stop}", letters.as_str())
}

/// A configuration as far as it could be read, and everything that is wrong with it.
#[derive(Debug)]
pub struct Reading<C> {
    /// The configuration, if nothing fatal is wrong with it.
    pub config: Option<C>,
    /// Every fault, in the order of the file.
    pub faults: Vec<Fault>,
}

impl<C> Reading<C> {
    /// The configuration, and what could be better.
    ///
    /// # Errors
    /// Everything that is wrong, when something fatal is.
    pub fn usable(self) -> Result<(C, Vec<Fault>), Faults> {
        match self.config {
            Some(config) => Ok((config, self.faults)),
            None => Err(Faults(self.faults)),
        }
    }
}

/// Everything that is wrong, a line each.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}
