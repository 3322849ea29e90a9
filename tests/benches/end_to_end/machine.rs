//! What the machine takes for what every message needs, before anybody's code: its figures change from hour to hour where others
//! share it.

use std::{
    fs::File,
    os::unix::fs::FileExt as _,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use landbridge_tests::Workdir;

use crate::report::{Report, median};

/// How often each is measured, as far apart as messages at 20/s.
const TIMES: u64 = 40;
const APART: Duration = Duration::from_millis(50);
/// What one commit of a row or two writes.
const PAGE: [u8; 4096] = [7; 4096];

/// Notes it; `when` says at which end of the run.
pub(crate) fn measure(report: &mut Report, when: &str) {
    report.noted(&format!("the machine {when}: 4 kB to the disk, median"), "µs", to_disk());
    report.noted(&format!("the machine {when}: a thread wakes another and is woken, median"), "µs", there_and_back());
}

/// The processors' time since the machine started, and how much of it was given to other machines while there was work here.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ProcessorTime {
    all: f64,
    stolen: f64,
}

impl ProcessorTime {
    /// Up to now. Zero where the system does not tell.
    pub(crate) fn now() -> Self {
        let told = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        let first = told.lines().next().unwrap_or_default();
        // user, nice, system, idle, iowait, irq, softirq, steal; what guests take is in the first two.
        let times: Vec<f64> = first.split_whitespace().skip(1).take(8).filter_map(|time| time.parse().ok()).collect();
        Self { all: times.iter().sum(), stolen: times.get(7).copied().unwrap_or_default() }
    }

    /// Of each hundred parts of what passed since `before`, how many were stolen.
    pub(crate) fn stolen_since(self, before: Self) -> f64 {
        100.0 * (self.stolen - before.stolen) / (self.all - before.all).max(1.0)
    }
}

/// Writes a page of a file that is there already, and waits for the disk.
fn to_disk() -> f64 {
    let dir = Workdir::new("disk");
    let file = File::create(dir.path().join("page")).expect("a file");
    for page in 0..TIMES {
        file.write_all_at(&PAGE, page * PAGE.len() as u64).expect("room for it");
    }
    file.sync_all().expect("a disk");
    let times = (0..TIMES).map(|page| {
        thread::sleep(APART);
        let began = Instant::now();
        file.write_all_at(&PAGE, page * PAGE.len() as u64).expect("room for it");
        file.sync_data().expect("a disk");
        began.elapsed()
    });
    1000.0 * median(&mut times.collect::<Vec<_>>())
}

/// Has a thread that sleeps answer one that waits.
fn there_and_back() -> f64 {
    let (ask, asked) = mpsc::channel();
    let (answer, answered) = mpsc::channel();
    let other = thread::spawn(move || asked.iter().for_each(|()| answer.send(()).expect("somebody asks")));
    let times = (0..TIMES).map(|_| {
        thread::sleep(APART);
        let began = Instant::now();
        ask.send(()).expect("somebody answers");
        answered.recv().expect("an answer");
        began.elapsed()
    });
    let middle = 1000.0 * median(&mut times.collect::<Vec<_>>());
    drop(ask);
    other.join().expect("it ends");
    middle
}
