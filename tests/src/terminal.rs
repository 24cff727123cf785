//! Runs `portolan` on a terminal, and returns what the terminal gets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::node::program;

/// The time limit for a command to end.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The time without output after which the prompt waits for a key.
const QUIET: Duration = Duration::from_millis(300);

/// Runs `portolan` with these arguments until it ends, with a terminal as its standard output and standard error.
/// Returns its exit code, and what both wrote.
pub fn run_on_terminal(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(program());
    command.args(arguments);
    run_to_end(command)
}

/// As [`run_on_terminal`], on a terminal with so many columns.
pub fn run_on_wide_terminal(columns: u16, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(program());
    // The tests may run on a terminal of another width.
    command.args(arguments).env("COLUMNS", columns.to_string());
    run_to_end(command)
}

fn run_to_end(mut command: Command) -> (Option<i32>, String) {
    let (terminal, end) = pair();
    let mut child = command.stdin(Stdio::null()).stdout(end()).stderr(end()).spawn().unwrap();
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
        panic!("portolan does not end")
    };
    let code = child.wait().unwrap().code();
    (code, String::from_utf8(shown).unwrap().replace("\r\n", "\n"))
}

/// Returns a terminal, and a function that opens its other end.
fn pair() -> (OwnedFd, impl Fn() -> Stdio) {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::<u8>::new()).unwrap();
    // Processes of other tests must not keep the terminal open.
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let end = move || Stdio::from(open(name.as_c_str(), flags, Mode::empty()).unwrap());
    (terminal, end)
}

/// The prompt of `portolan` on a terminal, and a user who types.
pub struct Prompt {
    child: Child,
    keyboard: File,
    shown: Arc<Mutex<String>>,
}

impl Prompt {
    /// Starts `portolan` with these arguments. Its history and other state are in `home`. The terminal has no colours.
    pub fn start(arguments: &[&str], home: &Path, environment: &[(&str, &Path)]) -> Self {
        let (terminal, end) = pair();
        tcsetwinsize(&terminal, Winsize { ws_row: 50, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let mut command = Command::new(program());
        command.args(arguments).envs(environment.iter().copied());
        command.env("XDG_STATE_HOME", home).env("HOME", home).env("NO_COLOR", "1").env("TERM", "xterm");
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        drop(command);
        let keyboard = File::from(terminal);
        let shown = Arc::new(Mutex::new(String::new()));
        let (screen, keys, all) = (keyboard.try_clone().unwrap(), keyboard.try_clone().unwrap(), shown.clone());
        std::thread::spawn(move || show(screen, keys, &all));
        Self { child, keyboard, shown }
    }

    /// Types a text, once the terminal shows nothing new: keys that arrive between two lines are lost.
    pub fn type_in(&mut self, text: &str) {
        let shown = || self.shown.lock().unwrap().len();
        let mut before = shown();
        loop {
            std::thread::sleep(QUIET);
            let now = shown();
            if now == before {
                break;
            }
            before = now;
        }
        self.keyboard.write_all(text.as_bytes()).unwrap();
    }

    /// Waits until the terminal shows a text for the nth time.
    pub fn wait_for(&mut self, text: &str, times: usize) {
        let started = Instant::now();
        while self.shown.lock().unwrap().matches(text).count() < times {
            if started.elapsed() > TIMEOUT {
                let _ = self.child.kill();
                panic!("the terminal does not show `{text}`, but\n{}", self.shown.lock().unwrap());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Returns the id of the process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the end of the process. Returns its exit code, and what the terminal showed.
    pub fn end(mut self) -> (Option<i32>, String) {
        let started = Instant::now();
        let code = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status.code();
            }
            if started.elapsed() > TIMEOUT {
                let _ = self.child.kill();
                panic!("the prompt does not end\n{}", self.shown.lock().unwrap());
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        (code, self.shown.lock().unwrap().clone())
    }
}

/// Collects what a terminal gets, and answers each question for the place of the cursor.
fn show(mut screen: File, mut keys: File, shown: &Mutex<String>) {
    const QUESTION: &str = "\u{1b}[6n";
    let (mut buffer, mut answered) = ([0; 4096], 0);
    // The system reports the end of the last writer as an error.
    while let Ok(read) = screen.read(&mut buffer) {
        if read == 0 {
            return;
        }
        let mut shown = shown.lock().unwrap();
        shown.push_str(&String::from_utf8_lossy(&buffer[..read]));
        let asked = shown.matches(QUESTION).count();
        for _ in answered..asked {
            let _ = keys.write_all(b"\x1b[1;1R");
        }
        answered = asked;
    }
}
