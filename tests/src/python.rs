//! Python clients and servers: a virtual environment in the build folder, set up when a test first needs it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use crate::node::{kept_folder, output};

/// The packages to install, in the versions for which the tests were written.
const PACKAGES: &[&str] = &[
    "adbc-driver-flightsql==1.13.0",
    "adbc-driver-manager==1.13.0",
    "boto3==1.44.5",
    "duckdb==2.0.0",
    "flightsql-dbapi==0.2.2",
    "moto[server]==5.2.5",
    "pandas==3.1.1",
    "polars==2.1.0",
    "pyarrow==26.0.1",
];

/// Returns the environment's Python. Without Python, it prints a message and returns `None`. Under CI, it panics
/// instead.
pub fn python() -> Option<PathBuf> {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    PYTHON.get_or_init(set_up).clone()
}

fn set_up() -> Option<PathBuf> {
    let there = Command::new("python3").arg("--version").stdout(Stdio::null()).status().is_ok_and(|s| s.success());
    if !there {
        assert!(std::env::var_os("CI").is_none(), "the tests need python3");
        eprintln!("SKIPPED: python3 is missing, so Python's clients and the S3 server are NOT tested");
        return None;
    }
    let folder = kept_folder("python");
    let lock = File::create(folder.join("lock")).unwrap();
    // Another run of these tests may be installing. The lock ends when this function returns.
    lock.lock().unwrap();
    let (venv, marker) = (folder.join("venv"), folder.join("installed"));
    let python = venv.join("bin/python");
    let wanted = PACKAGES.join("\n");
    let installed = fs::read_to_string(&marker).is_ok_and(|text| text == wanted);
    if !installed || !python.is_file() {
        let mut make = Command::new("python3");
        succeed(make.args(["-m", "venv", "--clear"]).arg(&venv));
        let mut install = Command::new(&python);
        succeed(install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(PACKAGES));
        fs::write(&marker, wanted).unwrap();
    }
    Some(python)
}

fn succeed(command: &mut Command) {
    let (code, out, err) = output(std::mem::replace(command, Command::new("true")));
    assert_eq!(code, Some(0), "{out}{err}");
}

/// Runs a script with arguments to its end, and returns its output.
pub fn run_script(python: &Path, script: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(python);
    command.args(["-c", script]).args(arguments).stdin(Stdio::null());
    let (code, out, err) = output(command);
    assert_eq!(code, Some(0), "{out}{err}");
    out
}

/// A server of a test, which is killed when this value is dropped.
#[derive(Debug)]
pub struct Server(Child);

impl Server {
    /// Starts a script that serves until its standard input ends.
    pub fn start(python: &Path, script: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(python);
        command.args(["-c", script]).args(arguments);
        Self(command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
