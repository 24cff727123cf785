//! A killed process: each record that was reported durable is in the chain.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::thread;

use portolan_audit::{Entry, Outcome, Store, verify};

use super::{child, child_folder, entries, records, request, small_segments};

const ROUNDS: u64 = 12;

#[test]
#[ignore = "the child process of another test"]
fn writes_until_it_is_killed() {
    let Some(folder) = child_folder() else { return };
    let store = Store::open(folder, small_segments()).unwrap();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let read = store.begin(request("ann")).wait().unwrap();
                    // The row leaves: the parent process has it from here on.
                    writeln!(std::io::stdout().lock(), "row {}", read.sequence()).unwrap();
                    read.end(Outcome::Completed);
                }
            });
        }
    });
}

#[test]
fn no_row_leaves_unrecorded() {
    let folder = tempfile::tempdir().unwrap();
    let mut rows = BTreeSet::new();
    for round in 1..=ROUNDS {
        let mut child =
            child("crashes::writes_until_it_is_killed", folder.path()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        let mut new = 0;
        while lines.read_line(&mut line).unwrap() > 0 {
            if let Some(row) = line.strip_suffix('\n').and_then(|line| line.strip_prefix("row ")) {
                assert!(rows.insert(row.parse::<u64>().unwrap()), "row {row} has the record of another row");
                new += 1;
            }
            // Rows that the child wrote before it ended are still in the pipe.
            if new == 37 * round {
                child.kill().unwrap();
            }
            line.clear();
        }
        child.wait().unwrap();
        assert!(new >= 37 * round, "the child ended after {new} rows");
    }
    drop(Store::open(folder.path(), small_segments()).unwrap());

    let verified = verify(folder.path(), None).unwrap();
    assert!(verified.segments > 10, "{verified:?}");
    let mut open = BTreeSet::new();
    let mut begun = BTreeSet::new();
    let mut unknown = 0;
    for record in records(folder.path()) {
        match record.entry {
            Entry::Began(_) => assert!(open.insert(record.mark.sequence) && begun.insert(record.mark.sequence)),
            Entry::Ended(end) => {
                assert!(open.remove(&end.read), "read {} ended twice", end.read);
                unknown += u64::from(end.outcome == Outcome::Unknown);
            }
            _ => {}
        }
    }
    assert!(rows.is_subset(&begun), "rows without a record: {:?}", rows.difference(&begun));
    assert!(open.is_empty(), "reads without an end: {open:?}");
    let stated = entries(folder.path()).into_iter().filter_map(|entry| match entry {
        Entry::Opened(opening) => Some((opening.after_crash, opening.unfinished)),
        _ => None,
    });
    let stated: Vec<_> = stated.collect();
    assert_eq!(stated.iter().filter(|(after_crash, _)| *after_crash).count() as u64, ROUNDS);
    assert_eq!(stated.iter().map(|(_, unfinished)| unfinished).sum::<u64>(), unknown);
    assert!(unknown > 0);
}
