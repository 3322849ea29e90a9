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
