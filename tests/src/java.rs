//! The JDBC driver: each version that is tried, fetched by Maven into the build folder when a test first needs it, and the
//! program over them, compiled once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::node::{kept_folder, output};

/// The versions of the driver, the newest first. The project has released 19.0.0, and Maven Central has none: once it is
/// there, it belongs here.
const VERSIONS: &[&str] = &["18.3.0", "16.1.0"];

/// Names other versions instead, with commas between: such as the local Maven repository alone has.
const OTHER_VERSIONS: &str = "PORTOLAN_JDBC_VERSIONS";

/// The versions of the driver that are tried.
pub fn versions() -> Vec<String> {
    match std::env::var(OTHER_VERSIONS) {
        Ok(versions) => versions.split(',').map(|version| version.trim().to_owned()).collect(),
        Err(_) => VERSIONS.iter().map(|&version| version.to_owned()).collect(),
    }
}

/// Whether they are those that the book's table of clients speaks of.
pub fn are_the_usual() -> bool {
    versions() == VERSIONS
}

/// Where the program lies.
const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/e2e/clients/java");

/// A call of the program with the driver of this version. `None` where there is no Java or no Maven, said loudly; never so
/// under CI.
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
            eprintln!("SKIPPED: there is no {tool}, so that the JDBC driver is NOT tested");
            return None;
        }
    }
    let folder = kept_folder("java");
    let lock = File::create(folder.join("lock")).unwrap();
    // Another run of these tests may be at it; given back when this function returns.
    lock.lock().unwrap();
    let (wanted, marker) = (sources(), folder.join("built"));
    // Maven takes seconds and asks its servers: it runs only where something changed.
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

/// Everything that the program is made of.
fn sources() -> String {
    let folder = Path::new(PROGRAM).join("src/main/java/portolan");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files.push(Path::new(PROGRAM).join("pom.xml"));
    let texts: Vec<_> = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    format!("{:?}\n{}", versions(), texts.join("\n"))
}
