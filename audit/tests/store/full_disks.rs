//! A disk that takes no records: the store refuses reads, and writes again once the disk does.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use portolan_audit::{Entry, ErrorKind, Outcome, Refusal, Settings, Store, verify};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{child, child_folder, entries, request, segments, write_reads};

fn settings() -> Settings {
    Settings { retry: Duration::from_millis(100), ..Settings::default() }
}

/// Checks a store over a disk that `fill` fills and `free` frees.
fn refuses_reads_until_the_disk_takes_records(folder: &Path, fill: impl FnOnce(), free: impl FnOnce()) {
    let store = Store::open(folder, settings()).unwrap();
    write_reads(&store, 3);
    let mut open = store.begin(request("open")).wait().unwrap();
    open.sent(7, 70);
    assert!(store.failure().is_none());

    fill();
    // A disk can have room for a small group after it had none for a large one. In the end it has no room for the record
    // of the interruption.
    let (mut asked, mut refused) = (0, 0);
    while store.failure().is_none() {
        let waiting: Vec<_> = (0..500).map(|_| store.begin(request("waits"))).collect();
        asked += 500;
        assert!(asked < 20_000, "the disk does not get full");
        refused += waiting.into_iter().filter_map(|read| read.wait().err()).count() as u64;
        thread::sleep(Duration::from_millis(300));
    }
    let error = store.begin(request("refused")).wait().err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unwritable);
    for part in ["cannot be written", &folder.display().to_string(), "reads are refused until"] {
        assert!(error.to_string().contains(part), "{error}");
    }
    assert_eq!(store.failure().unwrap().to_string(), error.to_string());
    assert_eq!(store.flush().wait().err().unwrap().kind(), ErrorKind::Unwritable);
    // Neither has a caller that waits. Both are kept.
    open.end(Outcome::Cancelled);
    store.refuse(Refusal { request: request("denied"), reason: "permission_denied".into(), detail: String::new() });
    thread::sleep(Duration::from_millis(500));
    assert!(store.failure().is_some());

    free();
    let start = Instant::now();
    while store.failure().is_some() {
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", store.failure());
        thread::sleep(Duration::from_millis(10));
    }
    write_reads(&store, 3);
    drop(store);

    verify(folder, None).unwrap();
    let entries = entries(folder);
    let interruptions = entries.iter().filter_map(|entry| match entry {
        Entry::Interrupted(interruption) => Some(interruption),
        _ => None,
    });
    let interruptions: Vec<_> = interruptions.collect();
    assert_eq!(interruptions.iter().map(|i| i.reads_refused).sum::<u64>(), refused + 1, "{interruptions:?}");
    assert!(interruptions[0].since.is_some() && interruptions[0].error.is_some());
    let has = |test: &dyn Fn(&Entry) -> bool| entries.iter().any(test);
    assert!(has(&|e| matches!(e, Entry::Ended(end) if end.outcome == Outcome::Cancelled && end.rows == 7)));
    assert!(has(&|e| matches!(e, Entry::Refused(refusal) if refusal.request.principal == "denied")));
    let begun = entries.iter().filter(|e| matches!(e, Entry::Began(_))).count() as u64;
    assert_eq!(begun, 3 + 1 + asked - refused + 3, "each read has a record or an error");
    assert_eq!(begun, entries.iter().filter(|e| matches!(e, Entry::Ended(_))).count() as u64);
}

fn limit_file_size(bytes: Option<u64>) {
    setrlimit(Resource::Fsize, Rlimit { current: bytes, ..getrlimit(Resource::Fsize) }).unwrap();
}

#[test]
#[ignore = "the child process of another test"]
fn refuses_reads_with_limited_files() {
    let Some(folder) = child_folder() else { return };
    let size = || std::fs::metadata(segments(&folder).last().unwrap()).unwrap().len();
    // The limit is within a record.
    let fill = || limit_file_size(Some(size() + 1000));
    refuses_reads_until_the_disk_takes_records(&folder, fill, || limit_file_size(None));
}

#[test]
fn a_file_that_cannot_grow_refuses_reads() {
    let folder = tempfile::tempdir().unwrap();
    let output = child("full_disks::refuses_reads_with_limited_files", folder.path()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// A file system in memory, which ends with this value.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(path: PathBuf) -> Option<Self> {
        std::fs::create_dir(&path).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=4m", "audit-test"]).arg(&path);
        mount.output().is_ok_and(|output| output.status.success()).then_some(Self(path))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).output();
    }
}

#[test]
fn a_full_disk_refuses_reads() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(folder.path().join("disk")) else {
        eprintln!("skipped: this user cannot mount a file system");
        return;
    };
    let filler = disk.0.join("filler");
    let fill = || {
        let written = std::fs::write(&filler, vec![b'x'; 8 << 20]);
        assert_eq!(written.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    };
    refuses_reads_until_the_disk_takes_records(&disk.0.join("audit"), fill, || std::fs::remove_file(&filler).unwrap());
}
