//! A server of another project as a child process. It does not run as root, and it ends with this process, however this
//! process ends.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use portolan_node::{Error, Result};

/// Starts a server, prints its process id, and waits until the standard input ends, which it does at the latest when the
/// parent process ends. Then it ends the server, and removes the server's folder.
const LEASH: &str = r#"
folder=$1 signal=$2
shift 2
"$@" </dev/null >>"$folder/log" 2>&1 &
server=$!
echo $server
cat >/dev/null
kill -"$signal" $server 2>/dev/null
wait $server
rm -rf "$folder"
"#;
/// The id of the user and of the group `nobody`. Servers refuse to run as root.
#[cfg(unix)]
const NOBODY: u32 = 65_534;
/// The number of lines of a server's log that an error shows.
const LOG_LINES: usize = 15;

/// A running server. Dropping it ends the server and removes its folder.
#[derive(Debug)]
pub struct LeashedServer {
    folder: PathBuf,
    pid: u32,
    leash: Child,
}

impl LeashedServer {
    /// Starts a server whose data is in `folder`, which also gets its log. The server ends with this signal.
    ///
    /// # Errors
    /// A program that cannot be started.
    pub fn start(folder: &Path, signal: &str, server: &Command) -> Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", LEASH, "leash"]).arg(folder).arg(signal);
        command.arg(server.get_program()).args(server.get_args());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        // Ctrl-C on the terminal is for this process alone.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut leash =
            unprivileged(command, folder)?.spawn().map_err(|e| Error::failed("cannot start sh").with_source(e))?;
        let mut line = String::new();
        if let Some(stdout) = leash.stdout.take() {
            let read = BufReader::new(stdout).read_line(&mut line);
            read.map_err(|e| Error::failed("cannot read the id of the server's process").with_source(e))?;
        }
        let pid = line.trim().parse().map_err(|e| Error::failed("the server did not start").with_source(e))?;
        Ok(Self { folder: folder.into(), pid, leash })
    }

    /// Returns the id of the server's process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Returns the folder of the server.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the end of the server's log, to be appended to an error.
    pub fn log_tail(&self) -> String {
        let text = fs::read(self.folder.join("log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        let tail = &lines[lines.len().saturating_sub(LOG_LINES)..];
        if tail.is_empty() {
            "; its log is empty".into()
        } else {
            format!("; its log ends with\n  {}", tail.join("\n  "))
        }
    }
}

impl Drop for LeashedServer {
    fn drop(&mut self) {
        // The end of its input is what the leash waits for.
        drop(self.leash.stdin.take());
        if let Err(e) = self.leash.wait() {
            tracing::warn!(pid = self.pid, "cannot wait for the end of a server: {e}");
        }
    }
}

/// Creates a folder for a server, which belongs to the server's user.
///
/// # Errors
/// A temporary folder that cannot be written.
pub fn server_folder(prefix: &str) -> Result<PathBuf> {
    let failed = |e| Error::output("the temporary folder", e);
    let folder = tempfile::Builder::new().prefix(prefix).tempdir().map_err(failed)?.keep();
    #[cfg(unix)]
    if is_root(&folder) {
        std::os::unix::fs::chown(&folder, Some(NOBODY), Some(NOBODY)).map_err(failed)?;
    }
    Ok(folder)
}

/// Runs a program to its end as the user of the server in `folder`, such as one that prepares the server's data.
///
/// # Errors
/// A program that cannot be started, or fails, with its output.
pub fn run_as_server(folder: &Path, command: Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = unprivileged(command, folder)?.stdin(Stdio::null()).output();
    let output = output.map_err(|e| Error::failed(format!("cannot start {name}")).with_source(e))?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
    Err(Error::failed(format!("{name} ended with {}: {}", output.status, text.join("\n"))))
}

/// Returns the command as one that does not run as root. Its working folder is `folder`, which belongs to the server's user.
fn unprivileged(mut command: Command, folder: &Path) -> Result<Command> {
    command.current_dir(folder);
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        use std::os::unix::process::CommandExt;

        let owner = fs::metadata(folder).map_err(|e| Error::failed(folder.display().to_string()).with_source(e))?;
        // As the only user, root starts processes of other users.
        if owner.uid() == NOBODY {
            command.uid(NOBODY).gid(NOBODY);
        }
    }
    Ok(command)
}

/// True if this process is root: the files that it creates belong to root.
#[cfg(unix)]
fn is_root(created: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;

    fs::metadata(created).is_ok_and(|metadata| metadata.uid() == 0)
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::MetadataExt;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_server_has_no_rights_of_root_and_ends_with_its_folder() {
        let folder = server_folder("portolan-leash-").unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "touch mine; echo started; exec sleep 600"]);
        let server = LeashedServer::start(&folder, "KILL", &command).unwrap();
        let started = Instant::now();
        while !server.log_tail().contains("started") {
            assert!(started.elapsed() < Duration::from_secs(20), "{}", server.log_tail());
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_ne!(fs::metadata(folder.join("mine")).unwrap().uid(), 0);
        let process = PathBuf::from(format!("/proc/{}", server.pid()));
        assert!(process.exists());
        drop(server);
        assert!(!process.exists() && !folder.exists());
    }

    #[test]
    fn a_program_that_fails_is_an_error_with_its_output() {
        let folder = server_folder("portolan-leash-").unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo no room >&2; exit 3"]);
        let error = run_as_server(&folder, command).unwrap_err().to_string();
        assert!(error.contains("exit status: 3") && error.contains("no room"), "{error}");
        fs::remove_dir(folder).unwrap();
    }
}
