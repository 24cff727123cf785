//! The end of the chain after a crash, byte by byte.

use std::fs;

use portolan_audit::{Entry, ErrorKind, Opening, Outcome, Settings, Store, verify};

use super::{entries, records, request, segments, small_segments, write_reads};

fn openings(entries: &[Entry]) -> Vec<Opening> {
    let opening = |entry: &Entry| match entry {
        Entry::Opened(opening) => Some(opening.clone()),
        _ => None,
    };
    entries.iter().filter_map(opening).collect()
}

#[test]
fn an_incomplete_record_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), Settings::default()).unwrap();
    write_reads(&store, 2);
    drop(store);
    let segment = segments(folder.path()).pop().unwrap();
    let whole = fs::read(&segment).unwrap();
    let last_line = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    let complete = records(folder.path());
    for size in last_line..=whole.len() {
        fs::write(&segment, &whole[..size]).unwrap();
        let torn_bytes = if size == whole.len() { 0 } else { (size - last_line) as u64 };
        assert_eq!(verify(folder.path(), None).unwrap().torn_bytes, torn_bytes);
        drop(Store::open(folder.path(), Settings::default()).unwrap());
        let found = records(folder.path());
        let kept = complete.len() - usize::from(size < whole.len());
        assert_eq!(found[..kept], complete[..kept]);
        let expected = Opening { after_crash: size < whole.len(), unfinished: 0, cut_bytes: torn_bytes };
        assert_eq!(found[kept].entry, Entry::Opened(expected));
        verify(folder.path(), Some(complete[kept - 1].mark)).unwrap();
    }
}

#[test]
fn zeros_at_the_end_are_cut() {
    for zeros in [1, 5000, 3 << 20] {
        let folder = tempfile::tempdir().unwrap();
        write_reads(&Store::open(folder.path(), Settings::default()).unwrap(), 2);
        let segment = segments(folder.path()).pop().unwrap();
        let whole = fs::read(&segment).unwrap();
        let mut remains = vec![0; zeros];
        // A page behind the zeros reached the disk.
        remains.extend_from_slice(b"\n{\"sequence\":9}\n");
        fs::write(&segment, [&whole[..], &remains].concat()).unwrap();
        drop(Store::open(folder.path(), Settings::default()).unwrap());
        verify(folder.path(), None).unwrap();
        assert_eq!(openings(&entries(folder.path()))[1].cut_bytes, remains.len() as u64);
    }
}

#[test]
fn a_segment_without_a_record_is_removed() {
    for start in ["", "{\"sequence\":"] {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), small_segments()).unwrap();
        write_reads(&store, 20);
        let open = store.begin(request("open")).wait().unwrap();
        drop(store);
        drop(open);
        let last = verify(folder.path(), None).unwrap().last.unwrap().mark;
        fs::write(folder.path().join(format!("audit-{:020}.jsonl", last.sequence + 1)), start).unwrap();
        verify(folder.path(), Some(last)).unwrap();
        drop(Store::open(folder.path(), small_segments()).unwrap());
        verify(folder.path(), Some(last)).unwrap();
        let opening = openings(&entries(folder.path())).pop().unwrap();
        assert_eq!((opening.unfinished, opening.cut_bytes), (1, start.len() as u64));
    }
}

#[test]
fn an_unfinished_read_ends_as_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), small_segments()).unwrap();
    let open = store.begin(request("open")).wait().unwrap();
    let sequence = open.sequence();
    // Segments begin while the read is open.
    write_reads(&store, 40);
    drop(store);
    // The store is closed, so that this end has no record.
    open.end(Outcome::Completed);
    assert!(segments(folder.path()).len() > 4);
    for _ in 0..2 {
        drop(Store::open(folder.path(), small_segments()).unwrap());
    }
    verify(folder.path(), None).unwrap();
    let ends: Vec<_> = entries(folder.path())
        .into_iter()
        .filter_map(|entry| match entry {
            Entry::Ended(end) if end.read == sequence => Some(end.outcome),
            _ => None,
        })
        .collect();
    assert_eq!(ends, [Outcome::Unknown]);
    let unfinished: Vec<_> = openings(&entries(folder.path())).iter().map(|opening| opening.unfinished).collect();
    assert_eq!(unfinished, [0, 1, 0]);
}

#[test]
fn a_broken_record_keeps_the_store_closed() {
    let folder = tempfile::tempdir().unwrap();
    write_reads(&Store::open(folder.path(), Settings::default()).unwrap(), 3);
    let segment = segments(folder.path()).pop().unwrap();
    let text = fs::read_to_string(&segment).unwrap();
    fs::write(&segment, text.replacen("\"p1\"", "\"p9\"", 1)).unwrap();
    let error = Store::open(folder.path(), Settings::default()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert!(error.to_string().starts_with("the audit record in line 4 of "), "{error}");
    // Nothing was cut.
    assert_eq!(fs::read_to_string(&segment).unwrap().len(), text.len());
}

#[test]
fn one_process_opens_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), Settings::default()).unwrap();
    let error = Store::open(folder.path(), Settings::default()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::InUse, "{error}");
    drop(store);
    Store::open(folder.path(), Settings::default()).unwrap();
}
