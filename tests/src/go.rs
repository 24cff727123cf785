//! Go clients: the programs of one module, built in the build folder when a test first needs them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::node::{kept_folder, output};

/// The folder of the module. Its `go.sum` pins every dependency, and Arrow's integration client is one of its tools.
const MODULE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/e2e/clients/go");

/// Returns the folder with the built programs: `adbc`, `database`, `flight` and `arrow-flight-integration-client`.
/// Without Go, it prints a message and returns `None`. Under CI, it panics instead.
pub fn programs() -> Option<&'static Path> {
    static PROGRAMS: OnceLock<Option<PathBuf>> = OnceLock::new();
    PROGRAMS.get_or_init(build).as_deref()
}

fn build() -> Option<PathBuf> {
    let there = Command::new("go").arg("version").stdout(Stdio::null()).status().is_ok_and(|s| s.success());
    if !there {
        assert!(std::env::var_os("CI").is_none(), "the tests need Go");
        eprintln!("SKIPPED: Go is missing, so its clients and Arrow's integration client are NOT tested");
        return None;
    }
    let folder = kept_folder("go");
    let lock = File::create(folder.join("lock")).unwrap();
    // Another run of these tests may be building. The lock ends when this function returns.
    lock.lock().unwrap();
    let programs = folder.join("programs");
    std::fs::create_dir_all(&programs).unwrap();
    // Go keeps earlier builds, so an unchanged program is not built again.
    let mut build = Command::new("go");
    build.current_dir(MODULE).args(["build", "-buildvcs=false", "-mod=readonly", "-o"]).arg(&programs);
    build.args(["./adbc", "./database", "./flight", "tool"]).stdin(Stdio::null());
    let (code, out, err) = output(build);
    assert_eq!(code, Some(0), "{out}{err}");
    Some(programs)
}
