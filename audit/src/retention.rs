//! The bounds on a store's size and age: decides which segments the chain removes.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use crate::entry::Removal;
use crate::line::{self, Link};
use crate::segment::{Line, Lines, Segment};
use crate::{Mark, Settings};

/// Returns the segments that exceed the bounds, the oldest first, with their records of removal. The last segment, which
/// gets the records, always stays.
pub(crate) fn exceeding(
    segments: &VecDeque<Segment>,
    settings: &Settings,
    now: SystemTime,
) -> io::Result<Vec<(Segment, Removal)>> {
    let sizes = segments.iter().map(|segment| Ok(fs::metadata(&segment.path)?.len()));
    let sizes = sizes.collect::<io::Result<Vec<u64>>>()?;
    let mut total: u64 = sizes.iter().sum();
    let mut removals = Vec::new();
    for ((segment, next), bytes) in segments.iter().zip(segments.iter().skip(1)).zip(sizes) {
        let too_large = total > settings.max_bytes;
        let Some(follower) = first_link(&next.path)? else { break };
        // The follower began when the segment got its last record.
        let is_old = now.duration_since(follower.time).is_ok_and(|age| age > settings.max_age);
        if !too_large && !is_old {
            break;
        }
        let bound = if too_large { "bytes" } else { "age" }.to_owned();
        let Mark { sequence: last, hash: last_hash } = before(&follower);
        removals.push((segment.clone(), Removal { first: segment.first, last, last_hash, bytes, bound }));
        total -= bytes;
    }
    Ok(removals)
}

/// Returns the mark of the record before this one.
fn before(link: &Link) -> Mark {
    Mark { sequence: link.mark.sequence.saturating_sub(1), hash: link.previous }
}

/// Returns the first record of a segment, or `None` if it has no complete one.
fn first_link(path: &Path) -> io::Result<Option<Link>> {
    match Lines::open(path)?.next()? {
        Some(Line::Whole(line)) => {
            line::check(line).map(Some).map_err(|fault| io::Error::other(format!("{}: {fault:?}", path.display())))
        }
        _ => Ok(None),
    }
}
