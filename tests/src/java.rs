//! The JDBC driver. Maven fetches each tested version into the build folder when a test first needs it. The program
//! that uses the driver is compiled once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::node::{kept_folder, output};

/// The versions of the driver, the newest first. The project has released 19.0.0, but Maven Central does not have it
/// yet. Once it does, add it here.
const VERSIONS: &[&str] = &["18.3.0", "16.1.0"];

/// The variable that names other versions, separated by commas, such as versions in the local Maven repository only.
const OTHER_VERSIONS: &str = "PORTOLAN_JDBC_VERSIONS";

/// Returns the versions of the driver to test.
pub fn versions() -> Vec<String> {
    match std::env::var(OTHER_VERSIONS) {
        Ok(versions) => versions.split(',').map(|version| version.trim().to_owned()).collect(),
        Err(_) => VERSIONS.iter().map(|&version| version.to_owned()).collect(),
    }
}

/// True if these are the versions in the book's table of clients.
pub fn are_the_usual() -> bool {
    versions() == VERSIONS
}

/// The folder of the program.
const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/e2e/clients/java");

/// Returns a call of the program with this version of the driver. Without Java or Maven, it prints a message and
/// returns `None`. Under CI, it panics instead.
pub fn program(version: &str) -> Option<Command> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let folder = FOLDER.get_or_init(build).as_deref()?;
    let (classes, driver) = (folder.join("classes"), folder.join(format!("driver-{version}")));
    let mut java = Command::new("java");
    java.args(["-Xshare:auto", "-XX:TieredStopAtLevel=1", "--add-opens=java.base/java.nio=ALL-UNNAMED", "-cp"]);
    java.arg(format!("{}:{}/*", classes.display(), driver.display())).arg("portolan.Main").stdin(Stdio::null());
    Some(java)
}

fn build() -> Option<PathBuf> {
    for (tool, version) in [("java", "-version"), ("mvn", "--version")] {
        let asked = Command::new(tool).arg(version).stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !asked.is_ok_and(|status| status.success()) {
            assert!(std::env::var_os("CI").is_none(), "the tests need {tool}");
            eprintln!("SKIPPED: {tool} is missing, so the JDBC driver is NOT tested");
            return None;
        }
    }
    let folder = kept_folder("java");
    let lock = File::create(folder.join("lock")).unwrap();
    // Another run of these tests may be building. The lock ends when this function returns.
    lock.lock().unwrap();
    let (wanted, marker) = (sources(), folder.join("built"));
    // Maven takes seconds and queries its servers, so it runs only if something has changed.
    if !fs::read_to_string(&marker).is_ok_and(|text| text == wanted) {
        for version in versions() {
            let mut maven = Command::new("mvn");
            maven.args(["-q", "-B", "-f"]).arg(Path::new(PROGRAM).join("pom.xml")).stdin(Stdio::null());
            maven.arg(format!("-Dbuild.folder={}", folder.display())).arg(format!("-Ddriver.version={version}"));
            maven.arg("process-classes");
            let (code, out, err) = output(maven);
            assert_eq!(code, Some(0), "{out}{err}");
        }
        fs::write(&marker, wanted).unwrap();
    }
    Some(folder)
}

/// Returns the contents of all files of the program.
fn sources() -> String {
    let folder = Path::new(PROGRAM).join("src/main/java/portolan");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files.push(Path::new(PROGRAM).join("pom.xml"));
    let texts: Vec<_> = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    format!("{:?}\n{}", versions(), texts.join("\n"))
}
