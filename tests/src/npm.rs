//! npm's clients. The packages, and the scripts that use them, are installed in the build folder when a test first
//! needs them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::node::{kept_folder, output};

/// The folder of the scripts. Its lock file pins every package.
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/e2e/clients/node");

/// Returns the folder with `gizmosql.js` and `lakehouse.js`, for `node`. Without npm, it prints a message and returns
/// `None`. Under CI, it panics instead.
pub fn scripts() -> Option<&'static Path> {
    static SCRIPTS: OnceLock<Option<PathBuf>> = OnceLock::new();
    SCRIPTS.get_or_init(install).as_deref()
}

fn install() -> Option<PathBuf> {
    let there = Command::new("npm").arg("--version").stdout(Stdio::null()).status().is_ok_and(|s| s.success());
    if !there {
        assert!(std::env::var_os("CI").is_none(), "the tests need npm");
        eprintln!("SKIPPED: npm is missing, so Node's clients are NOT tested");
        return None;
    }
    let folder = kept_folder("node");
    let lock = File::create(folder.join("lock")).unwrap();
    // Another run of these tests may be installing. The lock ends when this function returns.
    lock.lock().unwrap();
    for file in fs::read_dir(SCRIPTS).unwrap() {
        let file = file.unwrap();
        if file.file_type().unwrap().is_file() {
            fs::copy(file.path(), folder.join(file.file_name())).unwrap();
        }
    }
    let marker = folder.join("installed");
    let wanted = fs::read_to_string(folder.join("package-lock.json")).unwrap();
    if !fs::read_to_string(&marker).is_ok_and(|text| text == wanted) {
        let mut install = Command::new("npm");
        install.current_dir(&folder).args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).stdin(Stdio::null());
        let (code, out, err) = output(install);
        assert_eq!(code, Some(0), "{out}{err}");
        fs::write(&marker, wanted).unwrap();
    }
    Some(folder)
}
