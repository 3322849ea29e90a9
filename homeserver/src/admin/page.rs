//! Lists in pages.

use serde::Deserialize;

/// How many rows a page has where nothing is said.
const USUAL: u32 = 100;

/// Which page of a list is asked for.
#[derive(Deserialize)]
pub(super) struct Page {
    /// The `next` of the page before; empty for the first page.
    #[serde(default)]
    pub(super) from: String,
    limit: Option<u32>,
}

impl Page {
    /// How many rows are asked for, at most `most`.
    pub(super) fn limit(&self, most: u32) -> u32 {
        self.limit.unwrap_or(USUAL).clamp(1, most)
    }
}

/// The `next` of a page that is full: the id of its last row.
pub(super) fn next<T>(found: &[T], limit: u32, id: impl Fn(&T) -> String) -> Option<String> {
    found.last().filter(|_| found.len() == limit as usize).map(id)
}
