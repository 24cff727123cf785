//! The records for a reader: the newest first, and each read with its end.
//!
//! Reading is safe while the node writes. It does not verify the chain.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::backward::Backward;
use crate::entry::{End, Entry, Refusal, Request};
use crate::line::{self, LineFault, Record};
use crate::segment::{self, Segment};
use crate::{Error, ErrorKind, Result};

/// The difference between the clock's order and the order of records that a search by time allows for.
const CLOCK_STEP: Duration = Duration::from_secs(60 * 60);
/// The bound on ends whose reads the search has not met.
const MAX_ENDS: usize = 1 << 20;

/// The reads that a search returns.
#[derive(Clone, Debug)]
pub struct Filter {
    /// Only reads that began at this time or later. The search ends at a record that is an hour older, so that it does not
    /// find the reads before a larger step of the clock.
    pub from: Option<SystemTime>,
    /// Only reads that began before this time.
    pub until: Option<SystemTime>,
    /// Only reads of this principal.
    pub principal: Option<String>,
    /// Only reads of this port.
    pub port: Option<String>,
    /// The bound on the reads.
    pub limit: usize,
}

impl Default for Filter {
    fn default() -> Self {
        Self { from: None, until: None, principal: None, port: None, limit: 1000 }
    }
}

/// A read or a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The sequence number of its first record.
    pub sequence: u64,
    /// The time of its first record.
    pub time: SystemTime,
    /// What was read.
    pub request: Request,
    /// The end of the read.
    pub fate: Fate,
}

/// The end of a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The read is open. If the node has stopped, the next start records its end.
    Open,
    /// The read ended.
    Ended(End),
    /// The read was refused.
    Refused {
        /// The name of the error's kind.
        reason: String,
        /// The rule or the check that refused.
        detail: String,
    },
}

/// The result of a search.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The reads, the newest first.
    pub accounts: Vec<Account>,
    /// True if the search stopped at the limit, or because its caller stopped it.
    pub has_more: bool,
    /// The number of lines that are not records. [`verify`](crate::verify) says which.
    pub damaged: u64,
}

/// Returns the reads that pass the filter, the newest first.
///
/// # Errors
/// [`ErrorKind::Unreadable`].
pub fn reads(folder: &Path, filter: &Filter) -> Result<Page> {
    reads_while(folder, filter, || true)
}

/// Returns the reads that pass the filter as [`reads`] does, and stops before a record for which `goes_on` is false: its
/// caller may have gone.
///
/// # Errors
/// [`ErrorKind::Unreadable`].
pub fn reads_while(folder: &Path, filter: &Filter, mut goes_on: impl FnMut() -> bool) -> Result<Page> {
    let mut page = Page::default();
    let mut ends: HashMap<u64, End> = HashMap::new();
    let start = filter.from.and_then(|from| from.checked_sub(CLOCK_STEP));
    for record in newest_first(folder)? {
        if !goes_on() {
            page.has_more = true;
            break;
        }
        let Record { mark, time, entry } = match record {
            Ok(record) => record,
            Err(error) if error.kind() == ErrorKind::Damaged => {
                page.damaged += 1;
                continue;
            }
            Err(error) => return Err(error),
        };
        if start.is_some_and(|start| time < start) {
            break;
        }
        let (request, fate) = match entry {
            Entry::Ended(end) => {
                if ends.len() < MAX_ENDS {
                    ends.insert(end.read, end);
                }
                continue;
            }
            Entry::Began(request) => (request, ends.remove(&mark.sequence).map_or(Fate::Open, Fate::Ended)),
            Entry::Refused(Refusal { request, reason, detail }) => (request, Fate::Refused { reason, detail }),
            _ => continue,
        };
        if !filter.accepts(time, &request) {
            continue;
        }
        if page.accounts.len() == filter.limit {
            page.has_more = true;
            break;
        }
        page.accounts.push(Account { sequence: mark.sequence, time, request, fate });
    }
    Ok(page)
}

impl Filter {
    fn accepts(&self, time: SystemTime, request: &Request) -> bool {
        self.from.is_none_or(|from| time >= from)
            && self.until.is_none_or(|until| time < until)
            && self.principal.as_ref().is_none_or(|principal| *principal == request.principal)
            && self.port.as_ref().is_none_or(|port| request.ports.iter().any(|read| read.port == *port))
    }
}

/// Returns all records of a folder, the newest first.
///
/// # Errors
/// [`ErrorKind::Unreadable`]. The iterator also returns [`ErrorKind::Damaged`] for a line that is not a record, and goes on.
pub fn newest_first(folder: &Path) -> Result<NewestFirst> {
    let segments = segment::list(folder).map_err(|e| Error::unreadable(folder, e))?;
    Ok(NewestFirst { segments, lines: None })
}

/// The records of a folder, the newest first.
pub struct NewestFirst {
    /// The segments that are left, the newest last.
    segments: Vec<Segment>,
    /// The segment that is read.
    lines: Option<(Segment, Backward)>,
}

impl Iterator for NewestFirst {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.lines.is_none() {
                let segment = self.segments.pop()?;
                match Backward::open(&segment.path) {
                    Ok(lines) => self.lines = Some((segment, lines)),
                    // The store has removed the segment, and all older ones.
                    Err(e) if e.kind() == std::io::ErrorKind::NotFound => return None,
                    Err(e) => return Some(Err(Error::unreadable(&segment.path, e))),
                }
            }
            let (segment, lines) = self.lines.as_mut()?;
            match lines.next() {
                Ok(Some(line)) => return Some(line::record(&line).map_err(|fault| damaged(segment, &fault))),
                Ok(None) => self.lines = None,
                Err(e) => {
                    let error = Error::unreadable(&segment.path, e);
                    self.lines = None;
                    return Some(Err(error));
                }
            }
        }
    }
}

fn damaged(segment: &Segment, fault: &LineFault) -> Error {
    let text = format!("a line of {} is not an audit record: {fault:?}", segment.path.display());
    Error::new(ErrorKind::Damaged, text)
}
