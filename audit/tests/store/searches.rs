//! Searches return the newest reads first, with their ends, also while the node writes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use portolan_audit::{Account, Fate, Filter, Outcome, PortRead, Refusal, Request, Store, reads, verify};

use super::{request, segments, small_segments, write_reads};

fn principals(accounts: &[Account]) -> Vec<&str> {
    accounts.iter().map(|account| account.request.principal.as_str()).collect()
}

#[test]
fn reads_come_with_their_ends() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), small_segments()).unwrap();
    write_reads(&store, 30);
    thread::sleep(Duration::from_millis(2));
    let middle = SystemTime::now();
    let port = PortRead { port: "crm.customers.all".to_owned(), columns: vec![] };
    let denied = Request { ports: vec![port], ..request("mallory") };
    store.refuse(Refusal { request: denied, reason: "permission_denied".to_owned(), detail: "no rule".to_owned() });
    let open = store.begin(request("open")).wait().unwrap();
    store.flush().wait().unwrap();

    let all = reads(folder.path(), &Filter::default()).unwrap();
    assert_eq!((all.accounts.len(), all.has_more, all.damaged), (32, false, 0));
    assert_eq!(all.accounts[0].fate, Fate::Open);
    let Fate::Refused { reason, detail } = &all.accounts[1].fate else { panic!() };
    assert_eq!((reason.as_str(), detail.as_str()), ("permission_denied", "no rule"));
    let Fate::Ended(end) = &all.accounts[2].fate else { panic!() };
    assert_eq!((end.rows, end.bytes, &end.outcome), (1, 10, &Outcome::Completed));
    let names: Vec<String> = (0..30).rev().map(|n| format!("p{n}")).collect();
    assert_eq!(principals(&all.accounts[2..]), names);

    let search = |filter: Filter| reads(folder.path(), &filter).unwrap();
    let page = search(Filter { limit: 3, ..Filter::default() });
    assert_eq!((principals(&page.accounts), page.has_more), (vec!["open", "mallory", "p29"], true));
    let page = search(Filter { limit: 32, ..Filter::default() });
    assert!(!page.has_more);
    let page = search(Filter { principal: Some("p7".to_owned()), ..Filter::default() });
    assert_eq!(principals(&page.accounts), ["p7"]);
    let page = search(Filter { port: Some("crm.customers.all".to_owned()), ..Filter::default() });
    assert_eq!(principals(&page.accounts), ["mallory"]);
    let page = search(Filter { from: Some(middle), ..Filter::default() });
    assert_eq!(principals(&page.accounts), ["open", "mallory"]);
    let page = search(Filter { until: Some(middle), ..Filter::default() });
    assert_eq!(page.accounts.len(), 30);
    drop(open);
}

#[test]
fn damaged_lines_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    write_reads(&Store::open(folder.path(), small_segments()).unwrap(), 30);
    let segment = segments(folder.path()).swap_remove(1);
    let text = std::fs::read_to_string(&segment).unwrap();
    std::fs::write(&segment, text.replacen("\"record\":\"ended\"", "\"record\":", 1)).unwrap();
    let page = reads(folder.path(), &Filter::default()).unwrap();
    assert_eq!((page.accounts.len(), page.damaged), (30, 1));
}

#[test]
fn a_search_and_a_verification_run_while_the_node_writes() {
    let folder = tempfile::tempdir().unwrap();
    let settings = portolan_audit::Settings { max_bytes: 100_000, ..small_segments() };
    let store = Store::open(folder.path(), settings).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let page = reads(folder.path(), &Filter { limit: 50, ..Filter::default() }).unwrap();
                assert_eq!(page.damaged, 0);
                assert!(page.accounts.is_sorted_by(|newer, older| newer.sequence > older.sequence));
                verify(folder.path(), None).unwrap();
            }
        });
        let writers: Vec<_> = (0..16)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..100 {
                        store.begin(request("ann")).wait().unwrap().end(Outcome::Completed);
                    }
                })
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        done.store(true, Ordering::Relaxed);
    });
}
