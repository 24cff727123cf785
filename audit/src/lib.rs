//! The account of every read: a store of records on this node's disk, chained by hash.
//!
//! [`Store::open`] opens the store in a folder. [`Store::begin`] writes a record before a read, which is durable before
//! the first row leaves. [`OpenRead::end`] writes a second record after the read, and [`Store::refuse`] writes one record
//! for a refusal. [`reads`] shows the records, and [`verify`] names the first broken one.
//!
//! ```
//! use portolan_audit::{Filter, Outcome, Request, Settings, Store, reads, verify};
//!
//! # let parent = tempfile::tempdir()?;
//! # let folder = parent.path().join("audit");
//! let store = Store::open(&folder, Settings::default())?;
//! let request = Request { principal: "ann".to_owned(), query: "q1".to_owned(), ..Request::default() };
//! // Asynchronous callers await it.
//! let mut read = store.begin(request).wait()?;
//! read.sent(100, 6400);
//! read.end(Outcome::Completed);
//! store.flush().wait()?;
//!
//! assert_eq!(reads(&folder, &Filter::default())?.accounts.len(), 1);
//! assert_eq!(verify(&folder, None)?.records, 3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Files
//!
//! The folder has one file for each segment, `audit-<first sequence number>.jsonl`, with one JSON object a line. A line
//! starts with `sequence`, `time` and `record`, and ends with `previous` and `hash`. `hash` is the SHA-256 of the line's
//! bytes before `,"hash":`. These bytes contain `previous`, which is the hash of the record before, in this segment or in
//! the segment before. `previous` of record 1 is 64 zeros. The `hash` and the end of the line are the last 76 bytes, so
//! that `head -n 1 FILE | head -c -76 | sha256sum` computes a hash without this crate.
//!
//! # What the chain proves
//!
//! A record that was changed, deleted, inserted or moved breaks the chain. A person who may write to the folder can cut
//! the end of the chain, or compute a whole new one. Only a [`Mark`] that an auditor keeps elsewhere shows either.

mod backward;
mod bounds;
mod chain;
mod clock;
mod digest;
mod entry;
mod error;
mod line;
mod open_read;
mod queue;
mod reads;
mod recovery;
mod reply;
mod retention;
mod segment;
mod settings;
mod store;
mod verify;
mod writer;

pub use clock::to_text as time_text;
pub use digest::{Digest, Mark};
pub use entry::{
    Action, Decision, End, Entry, Interruption, KeySet, Omitted, Opening, Outcome, PortRead, Refusal, Removal, Request,
    Verdict,
};
pub use error::{Error, ErrorKind, Result};
pub use line::{MAX_LINE, Record};
pub use open_read::OpenRead;
pub use reads::{Account, Fate, Filter, NewestFirst, Page, newest_first, reads, reads_while};
pub use reply::{Beginning, Flushing};
pub use settings::Settings;
pub use store::{Counters, Store};
pub use verify::{Broken, Fault, MarkState, Point, Unverified, Verified, verify};
