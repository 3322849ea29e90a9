//! The table of figures, as Markdown.

use std::{fmt, time::Duration};

use crate::machine::ProcessorTime;

/// A limit of the goals.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Limit {
    /// No less than this.
    AtLeast(f64),
    /// No more than this.
    AtMost(f64),
}

/// One line of the table.
#[derive(Debug)]
struct Row {
    what: String,
    unit: &'static str,
    limit: Option<Limit>,
    ours: Option<f64>,
    synapse: Option<f64>,
    /// What others took of the processors while it was measured, in percent.
    stolen: f64,
}

/// All figures measured so far.
#[derive(Debug)]
pub(crate) struct Report {
    rows: Vec<Row>,
    /// When the last figure was noted.
    noted: ProcessorTime,
}

impl Report {
    /// Nothing is measured yet.
    pub(crate) fn new() -> Self {
        Self { rows: Vec::new(), noted: ProcessorTime::now() }
    }

    /// Notes a figure of ours beside its limit.
    pub(crate) fn ours(&mut self, what: &str, unit: &'static str, limit: Limit, value: f64) {
        eprintln!("{what}: {value:.1} {unit}");
        let row = self.row(what, unit);
        (row.ours, row.limit) = (Some(value), Some(limit));
    }

    /// Notes a figure of ours that has no limit of its own.
    pub(crate) fn noted(&mut self, what: &str, unit: &'static str, value: f64) {
        eprintln!("{what}: {value:.1} {unit}");
        self.row(what, unit).ours = Some(value);
    }

    /// Notes Synapse's figure for the same work.
    pub(crate) fn synapse(&mut self, what: &str, unit: &'static str, value: f64) {
        eprintln!("Synapse, {what}: {value:.1} {unit}");
        self.row(what, unit).synapse = Some(value);
    }

    fn row(&mut self, what: &str, unit: &'static str) -> &mut Row {
        let now = ProcessorTime::now();
        let stolen = now.stolen_since(self.noted);
        self.noted = now;
        let at = self.rows.iter().position(|row| row.what == what).unwrap_or_else(|| {
            self.rows.push(Row { what: what.to_owned(), unit, limit: None, ours: None, synapse: None, stolen });
            self.rows.len() - 1
        });
        self.rows.get_mut(at).expect("found or just pushed")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| what | limit | Landbridge | | Synapse | others took |\n|---|---:|---:|---|---:|---:|")?;
        for row in &self.rows {
            let number =
                |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{} {}", short(value), row.unit));
            let limit = match row.limit {
                Some(Limit::AtLeast(limit)) => format!("≥ {} {}", short(limit), row.unit),
                Some(Limit::AtMost(limit)) => format!("≤ {} {}", short(limit), row.unit),
                None => "–".to_owned(),
            };
            let verdict = match (row.ours, row.limit) {
                (Some(ours), Some(Limit::AtLeast(limit))) if ours < limit => "**missed**",
                (Some(ours), Some(Limit::AtMost(limit))) if ours > limit => "**missed**",
                (Some(_), Some(_)) => "reached",
                _ => "",
            };
            let (ours, synapse) = (number(row.ours), number(row.synapse));
            writeln!(f, "| {} | {limit} | {ours} | {verdict} | {synapse} | {:.0} % |", row.what, row.stolen)?;
        }
        Ok(())
    }
}

fn short(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

/// The middle one, in milliseconds.
pub(crate) fn median(times: &mut [Duration]) -> f64 {
    percentile(times, 50)
}

/// The one that `percent` of all do not exceed, in milliseconds.
pub(crate) fn percentile(times: &mut [Duration], percent: usize) -> f64 {
    times.sort();
    let at = (times.len() * percent / 100).min(times.len().saturating_sub(1));
    times.get(at).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
}

/// Memory that a process holds, in megabytes.
pub(crate) fn rss(process: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0");
    line.split_whitespace().next().and_then(|kilobytes| kilobytes.parse::<f64>().ok()).unwrap_or_default() / 1024.0
}
