//! Runs `portolan` on a terminal, and returns what the terminal gets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs::File;
use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::node::program;

/// The time limit for a command to end.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Runs `portolan` with these arguments until it ends, with a terminal as its standard output and standard error.
/// Returns its exit code, and what both wrote.
pub fn run_on_terminal(arguments: &[&str]) -> (Option<i32>, String) {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::<u8>::new()).unwrap();
    // Processes of other tests must not keep the terminal open.
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let end = || Stdio::from(open(name.as_c_str(), flags, Mode::empty()).unwrap());
    let mut command = Command::new(program());
    let mut child = command.args(arguments).stdin(Stdio::null()).stdout(end()).stderr(end()).spawn().unwrap();
    // The command holds the ends of the terminal.
    drop(command);
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut shown = vec![];
        // The system reports the end of the last writer as an error.
        let _ = File::from(terminal).read_to_end(&mut shown);
        let _ = sender.send(shown);
    });
    let Ok(shown) = receiver.recv_timeout(TIMEOUT) else {
        child.kill().unwrap();
        panic!("portolan {arguments:?} does not end")
    };
    let code = child.wait().unwrap().code();
    (code, String::from_utf8(shown).unwrap().replace("\r\n", "\n"))
}
