//! Verifies a chain: follows its records through all segments, and names the first broken one.

mod walk;

use std::fmt;
use std::path::Path;
use std::time::SystemTime;

use crate::{Digest, Error, Mark};

/// The bound on attempts to verify a chain that changes.
const ATTEMPTS: usize = 20;

/// The result of a chain without faults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// The number of records.
    pub records: u64,
    /// The number of segments.
    pub segments: u64,
    /// The first record. If its sequence number is not 1, a later record names the removal of the records before.
    pub first: Option<Point>,
    /// The last record. An auditor keeps its mark in another place, so that the next verification finds a cut end.
    pub last: Option<Point>,
    /// The number of bytes after the last complete record, which a running or an interrupted write left.
    pub torn_bytes: u64,
    /// The record that the caller expected.
    pub mark: MarkState,
}

/// The position, the hash and the time of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// The position and the hash.
    pub mark: Mark,
    /// The time.
    pub time: SystemTime,
}

/// The state of the record that the caller of [`verify`] expected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MarkState {
    /// The caller expected no record.
    #[default]
    NotGiven,
    /// The chain has the record.
    Found,
    /// The record's segment was removed, so that its hash cannot be compared.
    Removed,
}

/// The first broken record of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The name of the segment's file.
    pub segment: String,
    /// The line that shows the fault, from 1. If the end of the chain is missing, it is the line after the last one.
    pub line: u64,
    /// The sequence number that the record should have.
    pub sequence: u64,
    /// The fault.
    pub fault: Fault,
}

/// A fault in a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The line is not a record.
    Malformed(String),
    /// The content of the record was changed: it does not have the hash that the record states.
    Changed {
        /// The hash that the record states.
        stated: Digest,
        /// The hash of its content.
        computed: Digest,
    },
    /// Records are missing: the chain goes on with a later sequence number.
    Missing {
        /// The sequence number of the record that follows.
        next: u64,
    },
    /// The record stands in a later line of the segment.
    Reordered {
        /// The line, from 1.
        line: u64,
    },
    /// A sequence number that the chain had already. This record or the one before was inserted.
    Inserted {
        /// The sequence number.
        sequence: u64,
    },
    /// The hash of the record before is not the one that this record states. One of the two was replaced.
    Unchained {
        /// The hash that this record states.
        stated: Digest,
        /// The hash of the record before.
        before: Digest,
    },
    /// The chain ends before the expected record.
    Cut,
    /// The expected record has another hash: the chain was written again.
    Rewritten {
        /// The expected hash.
        expected: Digest,
        /// The hash of the record in the chain.
        found: Digest,
    },
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { segment, line, sequence, fault } = self;
        write!(f, "the audit record {sequence} (line {line} of {segment}) is broken: ")?;
        match fault {
            Fault::Malformed(what) => write!(f, "it is not a record: {what}"),
            Fault::Changed { stated, computed } => {
                write!(f, "its content was changed: expected the hash {stated}, got {computed}")
            }
            Fault::Missing { next } => write!(f, "it is missing: expected record {sequence}, got record {next}"),
            Fault::Reordered { line } => write!(f, "it was moved to line {line}"),
            Fault::Inserted { sequence: found } => write!(
                f,
                "expected record {sequence}, got record {found} again: this record or the one before was inserted"
            ),
            Fault::Unchained { stated, before } => write!(
                f,
                "it does not continue the record before: expected the previous hash {before}, got {stated}; one of the \
                 two was replaced"
            ),
            Fault::Cut => write!(f, "it is missing: the end of the chain was cut"),
            Fault::Rewritten { expected, found } => {
                write!(f, "the chain was written again: expected the hash {expected}, got {found}")
            }
        }
    }
}

/// The reason why a chain is not verified.
#[derive(Clone, Debug)]
pub enum Unverified {
    /// A record is broken.
    Broken(Broken),
    /// The files cannot be read.
    Unreadable(Error),
}

impl fmt::Display for Unverified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(broken) => broken.fmt(f),
            Self::Unreadable(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Unverified {}

/// Verifies the chain in a folder, from its first record to its last. If `expected` is given, the chain must contain this
/// record. A node may have the store open meanwhile.
///
/// # Errors
/// The first broken record, or the file that cannot be read.
pub fn verify(folder: &Path, expected: Option<Mark>) -> Result<Verified, Unverified> {
    // The node can remove segments, or cut an incomplete group of records, while this function reads. A fault counts if
    // the next attempt finds it again.
    let mut verified = walk::follow(folder, expected);
    for _ in 0..ATTEMPTS {
        let Err(fault) = &verified else { break };
        let next = walk::follow(folder, expected);
        let is_same = matches!((fault, &next), (Unverified::Broken(one), Err(Unverified::Broken(two))) if one == two);
        verified = next;
        if is_same {
            break;
        }
    }
    verified
}
