//! A record as a line of JSON, and the checks of one line.

use std::time::SystemTime;

use serde::Deserialize;

use crate::digest::HEX;
use crate::{Digest, Entry, Mark, clock};

/// The bound on the bytes of a line. The bounds on the parts of a record keep it below this size.
pub const MAX_LINE: usize = 512 * 1024;
/// The text before the hash of a line.
const BEFORE_HASH: &[u8] = b",\"hash\":\"";
/// The text after the hash of a line.
const AFTER_HASH: &[u8] = b"\"}";
/// The length of the end of a line, from [`BEFORE_HASH`] on.
const HASH_PART: usize = BEFORE_HASH.len() + HEX + AFTER_HASH.len();

/// A record of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The position and the hash of the record.
    pub mark: Mark,
    /// The time of the entry, by this node's clock. The order of records is the order of their sequence numbers.
    pub time: SystemTime,
    /// The content of the record.
    pub entry: Entry,
}

/// Returns an entry as the fields of a JSON object, without its braces.
pub(crate) fn body(entry: &Entry) -> serde_json::Result<String> {
    let mut text = serde_json::to_string(entry)?;
    text.pop();
    text.remove(0);
    Ok(text)
}

/// Appends the line of a record, with its line break. Returns the record's mark.
pub(crate) fn push(out: &mut Vec<u8>, before: Mark, time: SystemTime, body: &str) -> Mark {
    let start = out.len();
    let sequence = before.sequence + 1;
    out.extend_from_slice(b"{\"sequence\":");
    out.extend_from_slice(sequence.to_string().as_bytes());
    out.extend_from_slice(b",\"time\":\"");
    out.extend_from_slice(clock::to_text(time).as_bytes());
    out.extend_from_slice(b"\",");
    out.extend_from_slice(body.as_bytes());
    out.extend_from_slice(b",\"previous\":\"");
    out.extend_from_slice(&before.hash.hex());
    out.push(b'"');
    let hash = Digest::of(out.get(start..).unwrap_or_default());
    out.extend_from_slice(BEFORE_HASH);
    out.extend_from_slice(&hash.hex());
    out.extend_from_slice(AFTER_HASH);
    out.push(b'\n');
    Mark { sequence, hash }
}

/// The fields of a line that make the chain.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    /// The hash of the record before.
    pub previous: Digest,
    /// The position and the hash of this record.
    pub mark: Mark,
    /// The time of the record.
    pub time: SystemTime,
    /// The fields of the entry that recovery and verification need.
    pub entry: LinkEntry,
}

/// The part of an entry that recovery and verification need. It accepts the records of newer versions.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub(crate) enum LinkEntry {
    Began,
    Ended {
        read: u64,
    },
    Continued {
        open: std::collections::BTreeSet<u64>,
    },
    Removed {
        last: u64,
        last_hash: Digest,
    },
    Closed,
    #[serde(other)]
    Other,
}

/// A fault within one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LineFault {
    /// The line is not a record.
    Malformed(String),
    /// The content does not have the hash that the line states.
    Changed {
        /// The hash that the line states.
        stated: Digest,
        /// The hash of the line's content.
        computed: Digest,
    },
}

#[derive(Deserialize)]
struct Frame<T> {
    sequence: u64,
    time: String,
    previous: Digest,
    #[serde(flatten)]
    entry: T,
}

/// Returns the link of a line without its line break, after a check of its hash.
pub(crate) fn check(line: &[u8]) -> Result<Link, LineFault> {
    let (content, stated) = split_hash(line)?;
    let computed = Digest::of(content);
    if computed != stated {
        return Err(LineFault::Changed { stated, computed });
    }
    let (frame, time) = frame::<LinkEntry>(line)?;
    let mark = Mark { sequence: frame.sequence, hash: stated };
    Ok(Link { previous: frame.previous, mark, time, entry: frame.entry })
}

/// Returns the record of a line without its line break. It does not check the hash.
pub(crate) fn record(line: &[u8]) -> Result<Record, LineFault> {
    let (_, hash) = split_hash(line)?;
    let (frame, time) = frame::<Entry>(line)?;
    Ok(Record { mark: Mark { sequence: frame.sequence, hash }, time, entry: frame.entry })
}

fn split_hash(line: &[u8]) -> Result<(&[u8], Digest), LineFault> {
    let split = || {
        let (content, end) = line.split_at_checked(line.len().checked_sub(HASH_PART)?)?;
        let hash = end.strip_prefix(BEFORE_HASH)?.strip_suffix(AFTER_HASH)?;
        Some((content, Digest::parse(hash)?))
    };
    split().ok_or_else(|| LineFault::Malformed("expected a line that ends with its hash".to_owned()))
}

fn frame<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<(Frame<T>, SystemTime), LineFault> {
    let frame: Frame<T> = serde_json::from_slice(line).map_err(|e| LineFault::Malformed(e.to_string()))?;
    let no_time = || LineFault::Malformed(format!("expected a time in RFC 3339, got {:?}", frame.time));
    let time = clock::parse(&frame.time).ok_or_else(no_time)?;
    Ok((frame, time))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::entry::{Action, Decision, End, KeySet, Outcome, PortRead, Refusal, Request, Verdict};

    fn request() -> Request {
        Request {
            principal: "ann".to_owned(),
            action: Action::Insert,
            via: vec!["gateway".to_owned()],
            purpose: Some("billing".to_owned()),
            query: "q1".to_owned(),
            fragment: None,
            ports: vec![PortRead { port: "sales.orders.orders".to_owned(), columns: vec!["id".to_owned()] }],
            keys: vec![KeySet { column: "id".to_owned(), count: 3, ..KeySet::default() }],
            decision: Decision { verdict: Verdict::Permit, rules: vec!["r".to_owned()], version: "v1".to_owned() },
            omitted: Default::default(),
        }
    }

    #[test]
    fn every_entry_survives_its_line() {
        let end = |outcome| Entry::Ended(End { read: 1, rows: u64::MAX, bytes: 2, duration_us: 3, outcome });
        let refusal = Refusal { request: request(), reason: "permission_denied".to_owned(), detail: "x".to_owned() };
        let entries = [
            Entry::Began(request()),
            end(Outcome::Completed),
            end(Outcome::Failed { error: "internal".to_owned() }),
            end(Outcome::Dropped),
            end(Outcome::Unknown),
            Entry::Refused(refusal),
            Entry::Opened(Default::default()),
            Entry::Continued { open: [1, 5].into() },
            Entry::Removed(Default::default()),
            Entry::Interrupted(Default::default()),
            Entry::Closed,
        ];
        let time = clock::parse("2026-11-29T08:05:09.000123Z").unwrap();
        let mut before = Mark::default();
        for entry in entries {
            let mut line = Vec::new();
            let mark = push(&mut line, before, time, &body(&entry).unwrap());
            assert_eq!(line.pop(), Some(b'\n'));
            assert_eq!(record(&line).unwrap(), Record { mark, time, entry });
            let link = check(&line).unwrap();
            assert_eq!((link.previous, link.mark, link.time), (before.hash, mark, time));
            before = mark;
        }
    }

    #[test]
    fn records_of_newer_versions_are_links() {
        let mut line = Vec::new();
        push(&mut line, Mark::default(), SystemTime::UNIX_EPOCH, r#""record":"elected","by":[1]"#);
        line.pop();
        assert!(matches!(check(&line).unwrap().entry, LinkEntry::Other));
        assert_eq!(record(&line).unwrap().entry, Entry::Unknown);
    }

    #[test]
    fn every_changed_byte_is_found() {
        let mut line = Vec::new();
        push(&mut line, Mark::default(), SystemTime::UNIX_EPOCH, &body(&Entry::Began(request())).unwrap());
        line.pop();
        for place in 0..line.len() {
            let mut changed = line.clone();
            changed[place] ^= 1;
            assert!(check(&changed).is_err(), "byte {place}");
        }
        assert!(check(&line[..line.len() - 1]).is_err());
    }
}
