//! Measures the store in a folder: durable records per second from 1, 4 and 64 callers, the latency of one record, and the
//! cost of a record without its disk.
//!
//! ```text
//! cargo run --release -p portolan-audit --example throughput -- FOLDER
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use portolan_audit::{Decision, Outcome, PortRead, Request, Settings, Store, Verdict, verify};

/// The time of each measurement.
const TIME: Duration = Duration::from_secs(3);

fn request() -> Request {
    let columns = (0..8).map(|number| format!("column_{number}")).collect();
    Request {
        principal: "analyst@example.org".to_owned(),
        via: vec!["gateway".to_owned()],
        purpose: Some("monthly report".to_owned()),
        query: "6f2c9f0e-8a53-4a37-9a07-0a3a6f1d1a55".to_owned(),
        fragment: Some("6f2c9f0e-8a53-4a37-9a07-0a3a6f1d1a55/2".to_owned()),
        ports: vec![PortRead { port: "sales.orders.orders".to_owned(), columns }],
        decision: Decision { verdict: Verdict::Permit, rules: vec!["analysts".to_owned()], version: "v12".to_owned() },
        ..Request::default()
    }
}

fn main() {
    let parent = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = parent.join(format!("portolan-audit-{}", std::process::id()));
    println!("{}", parent.display());
    let store = Store::open(&folder, Settings::default()).expect("open the store");
    println!("one sync of the disk: {}", quantiles(disk_syncs(&folder)));
    for callers in [1, 4, 64] {
        let before = store.counters();
        let start = Instant::now();
        let latencies: Vec<Duration> = thread::scope(|scope| {
            let callers: Vec<_> = (0..callers).map(|_| scope.spawn(|| calls(&store, start))).collect();
            callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect()
        });
        let rate = latencies.len() as f64 / start.elapsed().as_secs_f64();
        let groups = store.counters().groups - before.groups;
        let per_group = latencies.len() as f64 / groups as f64;
        println!(
            "{callers:3} callers: {rate:7.0} reads/s, {per_group:5.1} for each sync, latency {}",
            quantiles(latencies)
        );
    }
    let calls: Vec<Duration> = (0..1000).map(|_| call(&store)).collect();
    println!("`begin` and `end` in the caller's thread, without the wait: {}", quantiles(calls));
    let counters = store.counters();
    drop(store);
    let start = Instant::now();
    let verified = verify(&folder, None).expect("verify the chain");
    let rate = verified.records as f64 / start.elapsed().as_secs_f64();
    println!(
        "{} records in {} segments, {} groups; {rate:.0} verified/s",
        verified.records, verified.segments, counters.groups
    );
    let start = Instant::now();
    drop(Store::open(&folder, Settings::default()).expect("open the store again"));
    println!("opened again in {:?}", start.elapsed());
    std::fs::remove_dir_all(folder).unwrap();
}

/// Begins and ends reads, and returns the time that each one waited for the disk.
fn calls(store: &Store, start: Instant) -> Vec<Duration> {
    let mut latencies = Vec::new();
    while start.elapsed() < TIME {
        let call = Instant::now();
        let read = store.begin(request()).wait().unwrap();
        latencies.push(call.elapsed());
        read.end(Outcome::Completed);
    }
    latencies
}

/// Returns the time that the caller's thread works for a read.
fn call(store: &Store) -> Duration {
    let request = request();
    let start = Instant::now();
    let beginning = store.begin(request);
    let begun = start.elapsed();
    let read = beginning.wait().unwrap();
    let start = Instant::now();
    read.end(Outcome::Completed);
    begun + start.elapsed()
}

/// Returns the times of an append and a sync without the store.
fn disk_syncs(folder: &Path) -> Vec<Duration> {
    let path = folder.join("measure");
    let mut file = OpenOptions::new().append(true).create(true).open(&path).unwrap();
    let sync = |_| {
        let start = Instant::now();
        file.write_all(&[b'x'; 800]).unwrap();
        file.sync_data().unwrap();
        start.elapsed()
    };
    let times = (0..200).map(sync).collect();
    std::fs::remove_file(path).unwrap();
    times
}

fn quantiles(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    format!("p50 {:?}, p99 {:?}", at(0.5), at(0.99))
}
