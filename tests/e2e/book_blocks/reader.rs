//! A reader, who follows the steps of a page in a fresh folder.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use portolan_testbed::mesh::free_addresses;
use portolan_tests::mesh::cache_home;
use portolan_tests::node::{output, program};
use portolan_tests::python::python;
use snapbox::{Assert, IntoData};
use tempfile::TempDir;

use super::page::{Action, Outcome, Step};

/// The addresses of nodes on the pages. The reader's nodes have other ports, because tests run at the same time. The node
/// that gets the statements of a page has the first one.
const ADDRESSES: [&str; 3] = ["127.0.0.1:50051", "127.0.0.1:50050", "127.0.0.1:50052"];
/// The time for a node to start.
const START: Duration = Duration::from_secs(120);

/// A reader of one page.
pub struct Reader {
    folder: TempDir,
    /// The addresses that [`ADDRESSES`] stand for.
    addresses: Vec<String>,
    /// The address of the node that gets the statements.
    node: String,
    /// The commands so far that set variables for the commands after them.
    exports: String,
    servers: Vec<Server>,
}

/// A command that runs until the page ends.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Reader {
    /// Returns a reader of these steps. The statements go to the node at `gateway`, until the page starts a node.
    pub fn new(steps: &[Step], gateway: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("portolan-book-").tempdir().unwrap();
        let serves = steps.iter().any(|step| matches!(step.action, Action::Serve(_)));
        let mut addresses = free_addresses(ADDRESSES.len()).unwrap();
        if !serves {
            gateway.clone_into(&mut addresses[0]);
        }
        Self { folder, addresses, node: gateway.into(), exports: String::new(), servers: vec![] }
    }

    /// Follows a step.
    ///
    /// # Errors
    /// An outcome or an output that is not the one of the page.
    pub fn follow(&mut self, step: &Step, programs: &str) -> Result<(), String> {
        let printed = match &step.action {
            Action::Shell(code, outcome) => {
                let printed = self.run(code, *outcome)?;
                let exports = code.lines().filter(|line| line.starts_with("export "));
                self.exports.extend(exports.flat_map(|line| [line, "\n"]));
                printed
            }
            Action::Sql(statements) => {
                self.run(&format!("portolan sql <<'STATEMENTS'\n{statements}\nSTATEMENTS"), Outcome::Success)?
            }
            Action::Serve(code) => self.serve(code)?,
            Action::Save(name, text) => {
                let file = self.folder.path().join(name);
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(file, self.with_address(text)).unwrap();
                String::new()
            }
            Action::Python(code) => match python() {
                Some(python) => self.python(&python, code)?,
                None => return Ok(()),
            },
            Action::Rust(code) => return contains_program(programs, code),
        };
        self.replace_addresses(self.folder.path());
        match &step.printed {
            Some(expected) => compare(&replaced(&printed, &self.own_addresses(), &ADDRESSES), expected),
            None => Ok(()),
        }
    }

    /// Runs commands to their end, and returns what they print.
    fn run(&self, code: &str, outcome: Outcome) -> Result<String, String> {
        let mut command = self.command(Path::new("sh"));
        command.args(["-euc", &format!("exec 2>&1\n{}{}", self.exports, self.with_address(code))]);
        let (code, printed, _) = output(command);
        match (code == Some(0)) == (outcome == Outcome::Success) {
            true => Ok(printed),
            false => Err(format!("expected {outcome:?}, got the exit code {code:?} and\n{printed}")),
        }
    }

    /// Starts a command that serves. Returns its first line, which it prints when it is ready.
    fn serve(&mut self, code: &str) -> Result<String, String> {
        let mut command = self.command(Path::new("sh"));
        // The process of the shell becomes that of the command, so that it can be killed.
        command.args(["-euc", &format!("{}exec {}", self.exports, self.with_address(code))]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        self.servers.push(Server(child));
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // Only the first line has a receiver.
                let _ = sender.send(line);
            }
        });
        self.node.clone_from(&self.addresses[0]);
        receiver.recv_timeout(START).map_err(|_| format!("`{}` did not start", code.trim()))
    }

    fn python(&self, python: &Path, code: &str) -> Result<String, String> {
        let mut command = self.command(python);
        command.args(["-c", &self.with_address(code)]);
        match output(command) {
            (Some(0), printed, _) => Ok(printed),
            (_, printed, errors) => Err(format!("{printed}{errors}")),
        }
    }

    /// Returns a command in the reader's folder. `portolan` is on its path.
    fn command(&self, name: &Path) -> Command {
        let mut path = program().parent().unwrap().as_os_str().to_owned();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let mut command = Command::new(name);
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command.env("PATH", path).env("HOME", self.folder.path()).env("XDG_CACHE_HOME", cache_home());
        command.env("PORTOLAN_URL", format!("grpc://{}", self.node));
        for variable in ["PORTOLAN_PASSWORD", "PORTOLAN_LOG", "PORTOLAN_RC", "XDG_CONFIG_HOME"] {
            command.env_remove(variable);
        }
        command
    }

    fn own_addresses(&self) -> Vec<&str> {
        self.addresses.iter().map(String::as_str).collect()
    }

    /// Returns a text of the page with the addresses of the reader's nodes.
    fn with_address(&self, text: &str) -> String {
        let own = self.own_addresses();
        let [page_port, own_port] = [ADDRESSES[0], own[0]].map(|address| format!("--port {}", port(address)));
        replaced(text, &ADDRESSES, &own).replace(&page_port, &own_port)
    }

    /// Replaces the addresses in the configs that commands have written.
    fn replace_addresses(&self, folder: &Path) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if entry.file_type().unwrap().is_dir() {
                self.replace_addresses(&path);
            } else if path.extension().is_some_and(|extension| extension == "yaml") {
                let text = fs::read_to_string(&path).unwrap();
                let own = self.with_address(&text);
                if own != text {
                    fs::write(&path, own).unwrap();
                }
            }
        }
    }
}

fn port(address: &str) -> &str {
    address.rsplit_once(':').unwrap().1
}

/// Replaces each of `old` by the one of `new` at the same position. The result of a replacement is not replaced again.
fn replaced(text: &str, old: &[&str], new: &[&str]) -> String {
    let (mut result, mut rest) = (String::new(), text);
    let first = |text: &str| (0..old.len()).filter_map(|i| Some((text.find(old[i])?, i))).min();
    while let Some((at, i)) = first(rest) {
        result.push_str(&rest[..at]);
        result.push_str(new[i]);
        rest = &rest[at + old[i].len()..];
    }
    result + rest
}

/// Compares an output with a page, where `…` stands for a part of a line, and a line `…` for lines.
pub fn compare(printed: &str, expected: &str) -> Result<(), String> {
    let pattern = lines(expected).map(|line| match line {
        "…" => "...\n".to_owned(),
        line => format!("{}\n", line.replace('…', "[..]")),
    });
    let printed: String = lines(printed).map(|line| format!("{line}\n")).collect();
    let assert = Assert::new().normalize_paths(false);
    let compared = assert.try_eq(None, printed.into_data(), pattern.collect::<String>().into_data());
    compared.map_err(|difference| difference.to_string())
}

/// Returns the lines of an output that are not empty, without the spaces at their ends.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim_end).filter(|line| !line.is_empty())
}

/// Checks that a program of a page is one that is compiled with the tests. The lines that a page hides begin with `# `.
pub fn contains_program(programs: &str, code: &str) -> Result<(), String> {
    let shown = |line: &str| match line.trim() {
        "#" => String::new(),
        line => line.strip_prefix("# ").unwrap_or(line).trim().to_owned(),
    };
    let join = |text: &str| text.lines().map(shown).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n");
    match format!("\n{}\n", join(programs)).contains(&format!("\n{}\n", join(code))) {
        true => Ok(()),
        false => Err("the program is not in tests/e2e/book_programs.rs: add it there, so that it is compiled".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_can_leave_something_out() {
        let printed = "{\"url\":\"grpc://127.0.0.1:1\",\"pid\":7}\n\n a   \n b\n c\n";
        for expected in [
            "{\"url\":\"grpc://127.0.0.1:1\",\"pid\":7}\n a\n b\n c\n",
            "{\"url\":…}\n a\n b\n c\n",
            "{\"url\":…,\"pid\":…}\n…\n c\n",
            "…\n c\n",
            "…\n",
        ] {
            assert_eq!(compare(printed, expected), Ok(()), "{expected}");
        }
        for expected in ["{\"url\":…}\n a\n b\n", "{\"url\":…\n", "{\"uri\":…}\n…\n", "…\n d\n", " a\n b\n c\n"]
        {
            assert!(compare(printed, expected).is_err(), "{expected}");
        }
    }

    #[test]
    fn addresses_are_replaced_once() {
        let text = "a:1 a:2 a:1\n";
        assert_eq!(replaced(text, &["a:1", "a:2"], &["a:2", "b:7"]), "a:2 b:7 a:2\n");
        assert_eq!(replaced("a:2 b:7 a:2\n", &["a:2", "b:7"], &["a:1", "a:2"]), text);
    }

    #[test]
    fn a_program_of_a_page_is_compiled() {
        let programs = "mod one {\n    use std::fs;\n\n    #[test]\n    async fn f() {\n        g();\n    }\n}\n";
        assert_eq!(contains_program(programs, "use std::fs;\n\n#[test]\n# async fn f() {\ng();\n# }\n"), Ok(()));
        for other in ["use std::io;\n", "g(1);\n", "use std::fs;\n#[test]\nasync fn f() {\nh();\n"] {
            assert!(contains_program(programs, other).is_err(), "{other}");
        }
    }
}
