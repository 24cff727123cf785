//! Groups of records, and the bounds on waiting records.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use portolan_audit::{Entry, ErrorKind, Outcome, Refusal, Request, Settings, Store, verify};

use super::{entries, request};

#[test]
fn many_callers_share_a_sync() {
    const CALLERS: u64 = 64;
    const READS: u64 = 200;
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), Settings::default()).unwrap();
    thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| {
                for _ in 0..READS {
                    store.begin(request("ann")).wait().unwrap().end(Outcome::Completed);
                }
            });
        }
    });
    let groups = store.counters().groups;
    println!("{} durable records in {groups} groups", CALLERS * READS);
    assert!(groups * 4 < CALLERS * READS, "{groups}");
    drop(store);
    // Each read has two records; the store has one when it opens, and one when it closes.
    assert_eq!(verify(folder.path(), None).unwrap().records, 2 * CALLERS * READS + 2);
}

#[test]
fn a_future_starts_before_its_first_poll_and_records_its_drop() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), Settings::default()).unwrap();
    let first = store.begin(request("first"));
    let second = store.begin(request("second"));
    drop(first);
    let mut second = pin!(second);
    let mut context = Context::from_waker(Waker::noop());
    let start = Instant::now();
    let read = loop {
        match second.as_mut().poll(&mut context) {
            Poll::Ready(read) => break read.unwrap(),
            Poll::Pending => assert!(start.elapsed() < Duration::from_secs(10)),
        }
        thread::sleep(Duration::from_millis(1));
    };
    drop(read);
    drop(store);
    let outcomes: Vec<_> = entries(folder.path())
        .into_iter()
        .filter_map(|entry| match entry {
            Entry::Ended(end) => Some(end.outcome),
            _ => None,
        })
        .collect();
    assert_eq!(outcomes, [Outcome::Dropped, Outcome::Dropped]);
}

#[test]
fn the_bound_on_open_reads_refuses_further_reads() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { max_open_reads: 3, ..Settings::default() };
    let store = Store::open(folder.path(), settings).unwrap();
    for _ in 0..3 {
        let open: Vec<_> = (0..3).map(|_| store.begin(request("ann")).wait().unwrap()).collect();
        let error = store.begin(request("ann")).wait().err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
        drop(open);
        store.flush().wait().unwrap();
    }
}

#[test]
fn a_full_queue_refuses_reads_and_counts_refusals() {
    let folder = tempfile::tempdir().unwrap();
    // No caller waits, so that the records stay in the queue.
    let settings = Settings { queue_bytes: 2000, write_delay: Duration::from_secs(60), ..Settings::default() };
    let store = Store::open(folder.path(), settings).unwrap();
    for _ in 0..100 {
        store.refuse(Refusal { request: request("mallory"), ..Refusal::default() });
    }
    let large = Request { purpose: Some("x".repeat(500)), ..request("ann") };
    let error = store.begin(large).wait().err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    drop(store);
    let entries = entries(folder.path());
    let refused = entries.iter().filter(|e| matches!(e, Entry::Refused(_))).count() as u64;
    let lost: u64 = entries
        .iter()
        .map(|entry| match entry {
            Entry::Interrupted(interruption) => interruption.refusals_lost,
            _ => 0,
        })
        .sum();
    assert!(refused > 2 && lost > 50 && refused + lost == 100, "{refused} + {lost}");
}

#[test]
fn an_end_is_durable_without_a_caller_that_waits() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), Settings::default()).unwrap();
    store.begin(request("ann")).wait().unwrap().end(Outcome::Failed { error: "internal".to_owned() });
    let start = Instant::now();
    while !matches!(entries(folder.path()).last(), Some(Entry::Ended(_))) {
        assert!(start.elapsed() < Duration::from_secs(10));
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn records_keep_their_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), Settings::default()).unwrap();
    let request = Request { principal: "a\n".repeat(10_000), ..request("") };
    store.begin(request).wait().unwrap().end(Outcome::Failed { error: "x".repeat(10_000) });
    drop(store);
    let Entry::Began(request) = &entries(folder.path())[1] else { panic!() };
    assert!(request.principal.len() <= 256 && request.principal.ends_with('…'), "{}", request.principal);
    assert!(!request.principal.contains('\n'));
}
