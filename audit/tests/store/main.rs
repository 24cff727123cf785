//! Tests of the store through its public interface, with real faults: killed processes, full disks, changed files.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod broken_chains;
mod crashes;
mod full_disks;
mod groups;
mod recovery;
mod retention;
mod searches;

use std::path::{Path, PathBuf};
use std::process::Command;

use portolan_audit::{Decision, Entry, Outcome, PortRead, Record, Request, Settings, Store, Verdict, newest_first};

/// Returns a request of this principal for one port.
fn request(principal: &str) -> Request {
    Request {
        principal: principal.to_owned(),
        query: "q".to_owned(),
        ports: vec![PortRead { port: "sales.orders.orders".to_owned(), columns: vec!["id".to_owned()] }],
        decision: Decision { verdict: Verdict::Permit, rules: vec!["analysts".to_owned()], version: "v1".to_owned() },
        ..Request::default()
    }
}

/// Returns settings with segments of about ten records.
fn small_segments() -> Settings {
    Settings { segment_bytes: 4096, ..Settings::default() }
}

/// Writes this number of reads, each with its end.
fn write_reads(store: &Store, reads: usize) {
    for number in 0..reads {
        let mut read = store.begin(request(&format!("p{number}"))).wait().unwrap();
        read.sent(1, 10);
        read.end(Outcome::Completed);
        store.flush().wait().unwrap();
    }
}

/// Returns all records of a folder, the oldest first.
fn records(folder: &Path) -> Vec<Record> {
    let mut records: Vec<Record> = newest_first(folder).unwrap().map(Result::unwrap).collect();
    records.reverse();
    records
}

/// Returns the entries of a folder, the oldest first.
fn entries(folder: &Path) -> Vec<Entry> {
    records(folder).into_iter().map(|record| record.entry).collect()
}

/// Returns the segments of a folder, the oldest first.
fn segments(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let mut segments: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "jsonl")).collect();
    segments.sort();
    segments
}

/// The variable with the folder of a child process.
const FOLDER: &str = "PORTOLAN_AUDIT_TEST_FOLDER";

/// Returns the command that runs an ignored test of this program as a child process. A write beyond the limit on the size
/// of files fails in the child, and does not end it.
fn child(test: &str, folder: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", r#"trap '' XFSZ; exec "$0" "$@""#]).arg(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"]).env(FOLDER, folder);
    command
}

/// Returns the folder of this child process, or `None` if no other test started it.
fn child_folder() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}
