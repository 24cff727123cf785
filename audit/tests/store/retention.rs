//! Segments are removed within the bounds, and the rest of the chain stays verifiable.

use std::thread;
use std::time::Duration;

use portolan_audit::{Broken, Entry, Fault, MarkState, Outcome, Settings, Store, Unverified, verify};

use super::{entries, records, request, segments, small_segments, write_reads};

#[test]
fn the_bound_on_bytes_removes_the_oldest_segments() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { max_bytes: 20_000, ..small_segments() };
    let store = Store::open(folder.path(), settings.clone()).unwrap();
    let early = records(folder.path())[0].mark;
    let open = store.begin(request("open")).wait().unwrap();
    for _ in 0..10 {
        write_reads(&store, 15);
        let verified = verify(folder.path(), None).unwrap();
        let size: u64 = segments(folder.path()).iter().map(|path| path.metadata().unwrap().len()).sum();
        // A segment and a group exceed their bounds for a moment.
        assert!(size < 20_000 + 2 * 5_000, "{size}");
        assert!(verified.segments <= 8, "{verified:?}");
    }
    open.end(Outcome::Completed);
    drop(store);
    let verified = verify(folder.path(), Some(early)).unwrap();
    assert!(verified.first.unwrap().mark.sequence > 100);
    assert_eq!(verified.mark, MarkState::Removed);
    // The mark of the last removed record can be compared.
    let mut removal = entries(folder.path()).into_iter().filter_map(|entry| match entry {
        Entry::Removed(removal) => Some(removal),
        _ => None,
    });
    let removal = removal.next_back().unwrap();
    assert_eq!((removal.bound.as_str(), removal.last + 1), ("bytes", verified.first.unwrap().mark.sequence));
    let mark = portolan_audit::Mark { sequence: removal.last, hash: removal.last_hash };
    assert_eq!(verify(folder.path(), Some(mark)).unwrap().mark, MarkState::Found);
    // The chain goes on after a restart.
    write_reads(&Store::open(folder.path(), settings).unwrap(), 5);
    verify(folder.path(), None).unwrap();
}

#[test]
fn a_segment_that_another_program_removed_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { max_bytes: 20_000, ..small_segments() };
    write_reads(&Store::open(folder.path(), settings).unwrap(), 60);
    verify(folder.path(), None).unwrap();
    let all = segments(folder.path());
    std::fs::remove_file(&all[0]).unwrap();
    let Err(Unverified::Broken(Broken { segment, line, fault, .. })) = verify(folder.path(), None) else { panic!() };
    assert_eq!((segment.as_str(), line), (all[1].file_name().unwrap().to_str().unwrap(), 1));
    assert!(matches!(fault, Fault::Missing { .. }));
}

#[test]
fn the_bound_on_age_removes_segments() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { max_age: Duration::from_millis(1600), ..Settings::default() };
    let store = Store::open(folder.path(), settings).unwrap();
    let early = records(folder.path())[0].mark;
    for _ in 0..30 {
        write_reads(&store, 1);
        thread::sleep(Duration::from_millis(100));
    }
    drop(store);
    let verified = verify(folder.path(), Some(early)).unwrap();
    assert_eq!(verified.mark, MarkState::Removed);
    assert!(verified.segments > 3, "{verified:?}");
    assert!(entries(folder.path()).iter().any(|e| matches!(e, Entry::Removed(removal) if removal.bound == "age")));
}
