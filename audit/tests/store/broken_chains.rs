//! Verification names the first broken record.

use std::fs;
use std::path::Path;

use portolan_audit::{Broken, Digest, Fault, Mark, MarkState, Store, Unverified, Verified, verify};
use tempfile::TempDir;

use super::{records, segments, small_segments, write_reads};

/// Writes a chain of several segments.
fn chain() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), small_segments()).unwrap();
    write_reads(&store, 20);
    drop(store);
    assert!(segments(folder.path()).len() > 3);
    folder
}

fn lines(segment: &Path) -> Vec<String> {
    fs::read_to_string(segment).unwrap().lines().map(str::to_owned).collect()
}

/// Changes the lines of the second segment. Returns the segment's first sequence number, and the fault.
fn changed(change: impl FnOnce(&mut Vec<String>)) -> (u64, Broken) {
    let folder = chain();
    let segment = segments(folder.path()).swap_remove(1);
    let mut lines = lines(&segment);
    change(&mut lines);
    fs::write(&segment, lines.join("\n") + "\n").unwrap();
    let name = segment.file_name().unwrap().to_str().unwrap().to_owned();
    let broken = broken(folder.path(), None);
    assert_eq!(broken.segment, name);
    (name["audit-".len()..name.len() - ".jsonl".len()].parse().unwrap(), broken)
}

fn broken(folder: &Path, expected: Option<Mark>) -> Broken {
    match verify(folder, expected) {
        Err(Unverified::Broken(broken)) => broken,
        other => panic!("expected a broken chain, got {other:?}"),
    }
}

/// Returns the line with the hash of its content.
fn with_hash(line: &str) -> String {
    let content = &line[..line.len() - 75];
    let mut sha = std::process::Command::new("sha256sum");
    let mut child = sha.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), content.as_bytes()).unwrap();
    let output = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    format!("{content},\"hash\":\"{}\"}}", &output[..64])
}

#[test]
fn a_whole_chain_is_verified() {
    let folder = chain();
    let written = records(folder.path());
    let Verified { records, segments: count, first, last, torn_bytes, mark } = verify(folder.path(), None).unwrap();
    assert_eq!((records, count, torn_bytes), (written.len() as u64, segments(folder.path()).len() as u64, 0));
    assert_eq!((first.unwrap().mark, last.unwrap().mark), (written[0].mark, written.last().unwrap().mark));
    assert_eq!((last.unwrap().time, mark), (written.last().unwrap().time, MarkState::NotGiven));
    for record in &written {
        assert_eq!(verify(folder.path(), Some(record.mark)).unwrap().mark, MarkState::Found);
    }
    // Another program computes the same hash.
    let line = &lines(&segments(folder.path())[0])[0];
    assert_eq!(*line, with_hash(line));
}

#[test]
fn a_changed_record_is_named() {
    let (first, broken) =
        changed(|lines| lines[2] = lines[2].replacen("\"rows\":1", "\"rows\":2", 1).replacen("\"p", "\"x", 1));
    assert_eq!((broken.line, broken.sequence), (3, first + 2));
    assert!(matches!(broken.fault, Fault::Changed { .. }), "{broken}");
    let text = broken.to_string();
    assert!(text.starts_with(&format!("the audit record {} (line 3 of audit-", first + 2)), "{text}");
}

#[test]
fn a_changed_record_with_a_new_hash_breaks_its_follower() {
    let (first, broken) = changed(|lines| lines[2] = with_hash(&lines[2].replacen("2", "3", 40)));
    // The replacement can change the sequence number, too.
    assert!((broken.line == 4 && broken.sequence == first + 3) || broken.line == 3, "{broken}");
    let (first, broken) = changed(|lines| {
        let changed = lines[2].replacen("\"record\":\"", "\"note\":1,\"record\":\"", 1);
        lines[2] = with_hash(&changed);
    });
    assert_eq!((broken.line, broken.sequence), (4, first + 3));
    assert!(matches!(broken.fault, Fault::Unchained { .. }), "{broken}");
}

#[test]
fn every_changed_byte_is_found() {
    let folder = chain();
    let last = verify(folder.path(), None).unwrap().last.unwrap().mark;
    for segment in segments(folder.path()) {
        let whole = fs::read(&segment).unwrap();
        // A stride that meets every place within a line.
        for place in (0..whole.len()).step_by(17).chain([whole.len() - 1]) {
            let mut changed = whole.clone();
            changed[place] ^= 1;
            fs::write(&segment, changed).unwrap();
            broken(folder.path(), Some(last));
        }
        fs::write(&segment, whole).unwrap();
    }
    verify(folder.path(), Some(last)).unwrap();
}

#[test]
fn a_deleted_record_is_named() {
    for place in [0, 3] {
        let (first, broken) = changed(|lines| _ = lines.remove(place as usize));
        assert_eq!((broken.line, broken.sequence), (place + 1, first + place));
        assert_eq!(broken.fault, Fault::Missing { next: first + place + 1 });
    }
}

#[test]
fn the_deleted_end_of_a_segment_is_named() {
    let folder = chain();
    let all = segments(folder.path());
    let mut kept = lines(&all[0]);
    kept.pop();
    fs::write(&all[0], kept.join("\n") + "\n").unwrap();
    let broken = broken(folder.path(), None);
    let missing = kept.len() as u64 + 1;
    assert_eq!((broken.sequence, broken.fault), (missing, Fault::Missing { next: missing + 1 }));
}

#[test]
fn swapped_records_are_named() {
    let (first, broken) = changed(|lines| lines.swap(2, 4));
    assert_eq!((broken.line, broken.sequence, broken.fault), (3, first + 2, Fault::Reordered { line: 5 }));
}

#[test]
fn an_inserted_record_is_named() {
    // A copy.
    let (first, broken) = changed(|lines| lines.insert(2, lines[1].clone()));
    assert_eq!((broken.line, broken.sequence, broken.fault), (3, first + 2, Fault::Inserted { sequence: first + 1 }));
    // A record that continues the chain: its follower has the same sequence number.
    let (first, broken) = changed(|lines| {
        let forged = with_hash(&lines[2].replacen("\"record\":\"", "\"note\":1,\"record\":\"", 1));
        lines.insert(2, forged);
    });
    assert_eq!((broken.line, broken.sequence, broken.fault), (4, first + 3, Fault::Inserted { sequence: first + 2 }));
    // A line that is no record.
    let (first, broken) = changed(|lines| lines.insert(2, "{}".to_owned()));
    assert_eq!((broken.line, broken.sequence), (3, first + 2));
    assert!(matches!(broken.fault, Fault::Malformed(_)));
}

#[test]
fn a_line_of_any_length_is_named() {
    let (first, broken) = changed(|lines| lines.insert(2, "x".repeat(3 << 20)));
    assert_eq!((broken.line, broken.sequence), (3, first + 2));
    assert_eq!(broken.fault, Fault::Malformed("the line is too long".to_owned()));
}

#[test]
fn a_deleted_segment_is_named() {
    for place in 0..3 {
        let folder = chain();
        let all = segments(folder.path());
        let first_of = |segment: &Path| lines(segment)[0].clone();
        let number = |line: &str| line[r#"{"sequence":"#.len()..].split(',').next().unwrap().parse::<u64>().unwrap();
        let (gone, next) = (number(&first_of(&all[place])), number(&first_of(&all[place + 1])));
        fs::remove_file(&all[place]).unwrap();
        let broken = broken(folder.path(), None);
        assert_eq!(broken.fault, Fault::Missing { next }, "{broken}");
        assert_eq!(broken.sequence, if place == 0 { next - 1 } else { gone });
        assert_eq!(broken.segment, all[place + 1].file_name().unwrap().to_str().unwrap());
    }
}

#[test]
fn a_cut_end_is_found_with_a_mark() {
    let folder = chain();
    let last = verify(folder.path(), None).unwrap().last.unwrap().mark;
    let segment = segments(folder.path()).pop().unwrap();
    let mut kept = lines(&segment);
    kept.pop();
    fs::write(&segment, kept.join("\n") + "\n").unwrap();
    // The chain alone does not show it.
    assert_eq!(verify(folder.path(), None).unwrap().last.unwrap().mark.sequence, last.sequence - 1);
    let broken = broken(folder.path(), Some(last));
    assert_eq!((broken.sequence, broken.line, &broken.fault), (last.sequence, kept.len() as u64 + 1, &Fault::Cut));
    assert!(broken.to_string().ends_with("the end of the chain was cut"), "{broken}");
}

#[test]
fn a_chain_that_was_written_again_is_found_with_a_mark() {
    let folder = chain();
    let expected = Mark { sequence: 5, hash: Digest::ZERO };
    let broken = broken(folder.path(), Some(expected));
    assert_eq!((broken.sequence, broken.line), (5, 5));
    assert!(matches!(broken.fault, Fault::Rewritten { .. }), "{broken}");
}
