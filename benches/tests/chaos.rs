//! A minute of the chaos run, which checks every answer itself. Cargo builds the program for this test, and the test runs
//! when no other test uses the machine: a test of the end-to-end tests would slow the others down.

#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The time limit. On a slow machine, the program waits for every kind of fault, and longer for each answer.
const LIMIT: Duration = Duration::from_secs(900);

#[test]
fn faults_give_no_wrong_rows_and_leave_nothing() {
    // The end-to-end tests use the same data.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("portolan-tests");
    fs::create_dir_all(&folder).unwrap();
    let log = folder.join("chaos.log");
    let output = File::create(&log).unwrap();
    let mut run = Command::new(env!("CARGO_BIN_EXE_portolan-bench"))
        .args(["chaos", "--minutes", "1", "--seed", "7", "--patience", "4"])
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .stdin(Stdio::null())
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .spawn()
        .unwrap();
    let started = Instant::now();
    let status = loop {
        match run.try_wait().unwrap() {
            Some(status) => break status,
            // The nodes end with the program.
            None if started.elapsed() > LIMIT => run.kill().unwrap(),
            None => sleep(Duration::from_millis(200)),
        }
    };
    assert!(status.success(), "{status}\n{}", fs::read_to_string(&log).unwrap());
}
