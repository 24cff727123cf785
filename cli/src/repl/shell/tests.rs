#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use portolan_engine::{Engine, Principal};
use portolan_node::ErrorKind;

use super::*;

/// A script on an engine without a mesh, and a folder for its files.
struct Fixture {
    shell: Shell,
    folder: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let session = Engine::builder().build().unwrap().session(Principal::anonymous());
        let connection = Connection::embedded(session, "test".into());
        let output = Output::stdout(Format::Csv).unwrap();
        let target = Target::Config("node.yaml".into());
        let shell = Shell::script(connection, target, LoginArgs::default(), Some(Format::Csv), output);
        Self { shell, folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a script, in which `DIR` stands for the folder.
    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text.replace("DIR", self.folder.path().to_str().unwrap())).unwrap();
        path
    }

    async fn run(&mut self, text: &str) -> Result<Next> {
        let text = text.replace("DIR", self.folder.path().to_str().unwrap());
        self.shell.run_script(&text, None).await
    }

    async fn run_file(&mut self, name: &str, text: &str) -> Result<Next> {
        let file = self.file(name, text);
        self.shell.run_file(&file).await
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_go_to_the_files_that_commands_name() {
    let mut fixture = Fixture::new();
    let script = "\\o DIR/a.csv\nSELECT 1 AS x;\n\\o\nSELECT 2 AS y \\g DIR/b.json\nSELECT 3 AS z;\n\\g 'DIR/c d.csv'";
    assert_eq!(fixture.run(script).await.unwrap(), Next::Continue);
    assert_eq!(fixture.read("a.csv"), "x\n1\n");
    assert_eq!(fixture.read("b.json"), "{\"y\":2}\n");
    assert_eq!(fixture.read("c d.csv"), "z\n3\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_run_within_an_unfinished_statement() {
    let mut fixture = Fixture::new();
    fixture.run("\\o DIR/a.csv\nSELECT 1 AS a,\n\\timing on\n\\x\n 2 AS b\n;\n\\o").await.unwrap();
    assert_eq!(fixture.read("a.csv"), "a,b\n1,2\n");
    assert_eq!((fixture.shell.options.timing, fixture.shell.options.expanded), (true, Expanded::On));
    // At the prompt, the statement stays for the next text.
    assert_eq!(fixture.shell.run("SELECT 1 -- one\n\\x", None).await.unwrap(), Next::Continue);
    assert_eq!(fixture.shell.take_open().as_deref(), Some("SELECT 1 -- one"));
    assert_eq!(fixture.shell.take_open(), None);
    // Also if the command fails.
    assert!(fixture.shell.run("SELECT 1\n\\nonsense", None).await.is_err());
    assert_eq!(fixture.shell.take_open().as_deref(), Some("SELECT 1"));
    assert_eq!(fixture.shell.run("SELECT 1\n\\q\nSELECT 2;", None).await.unwrap(), Next::Leave);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_statement_of_a_script_needs_no_semicolon() {
    let mut fixture = Fixture::new();
    fixture.run("\\o DIR/a.csv\nSELECT 7 AS x -- the end").await.unwrap();
    fixture.shell.finish().unwrap();
    assert_eq!(fixture.read("a.csv"), "x\n7\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_have_the_line_of_the_file() {
    let mut fixture = Fixture::new();
    let error = fixture.run_file("q.sql", "SET portolan.strategy = 'auto';\n\n-- a note\n\nSELECT 1,\n  );\n").await;
    let error = error.unwrap_err().to_string();
    let prefix = format!("{}:6: ", fixture.path("q.sql").display());
    assert!(error.starts_with(&prefix) && error.contains("(line 6, column 3)"), "{error}");
    assert!(error.contains("\n  6 │   )\n"), "{error}");
    // A statement that begins in the middle of a line, behind a command.
    let error = fixture.run_file("q.sql", "SELECT 1 \\x\n; SELECT );").await.unwrap_err().to_string();
    assert!(error.contains("(line 2, column 10)"), "{error}");
    // A command.
    let error = fixture.run_file("q.sql", "\n\\timing maybe").await.unwrap_err().to_string();
    assert!(error.contains("q.sql:2: `\\timing`"), "{error}");
    // Without a file, the text of the argument counts.
    let error = fixture.run("SELECT 1;\nSELECT )").await.unwrap_err().to_string();
    assert!(error.starts_with("syntax error") && error.contains("(line 2, column 8)"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_runs_other_scripts() {
    let mut fixture = Fixture::new();
    fixture.file("inner.sql", "SELECT 1 AS x;\n\\q\nSELECT nothing;");
    fixture.run("\\o DIR/a.json\n\\i DIR/inner.sql\nSELECT 2 AS x;\n\\o").await.unwrap();
    assert_eq!(fixture.read("a.json"), "{\"x\":1}\n{\"x\":2}\n");
    fixture.file("inner.sql", "SELECT 1;\n\nSELECT );");
    let error = fixture.run_file("outer.sql", "\n\\i DIR/inner.sql\n").await.unwrap_err().to_string();
    assert!(error.contains("inner.sql:3: ") && !error.contains("outer.sql"), "{error}");
    let error = fixture.run_file("outer.sql", "\n\\i DIR/nowhere.sql\n").await.unwrap_err().to_string();
    assert!(error.contains("outer.sql:2: cannot read ") && error.contains("nowhere.sql"), "{error}");
    let error = fixture.run_file("loop.sql", "\\i DIR/loop.sql").await.unwrap_err().to_string();
    assert!(error.contains("more than 8 scripts"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_that_fails_leaves_no_file() {
    let mut fixture = Fixture::new();
    let failing = "SELECT CAST(CASE WHEN value > 20000 THEN 'x' ELSE '1' END AS INT) AS n \
        FROM generate_series(1, 30000) AS t (value)";
    let error = fixture.run(&format!("{failing} \\g DIR/a.csv")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed);
    assert!(fixture.run(&format!("\\o DIR/b.parquet\n{failing};")).await.is_err());
    fixture.shell.finish().unwrap();
    assert_eq!(std::fs::read_dir(fixture.folder.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_that_fails_leaves_the_results_before_it() {
    let mut fixture = Fixture::new();
    let failing = "SELECT CAST(CASE WHEN value > 20000 THEN 'x' ELSE '1' END AS INT) AS n \
        FROM generate_series(1, 30000) AS t (value)";
    assert!(fixture.run(&format!("\\o DIR/a.json\nSELECT 1 AS n;\n{failing};")).await.is_err());
    assert!(fixture.run("SELECT 2 AS n, 3 AS n;").await.is_err());
    fixture.run("SELECT 4 AS n;\n\\o").await.unwrap();
    assert_eq!(fixture.read("a.json"), "{\"n\":1}\n{\"n\":4}\n");
    // A file for one result has room again.
    assert!(fixture.run(&format!("\\o DIR/b.csv\n{failing};")).await.is_err());
    fixture.run("SELECT 5 AS n;\n\\o").await.unwrap();
    assert_eq!(fixture.read("b.csv"), "n\n5\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_without_a_result_is_not_written() {
    let mut fixture = Fixture::new();
    std::fs::write(fixture.path("a.csv"), "before").unwrap();
    fixture.run("SET portolan.strategy = 'auto' \\g DIR/a.csv\n\\o DIR/a.csv\n\\o\n\\o DIR/a.csv").await.unwrap();
    let unwritten = fixture.shell.finish().unwrap();
    assert_eq!(
        unwritten,
        Some(format!("no statement had a result, so {} is not written", fixture.path("a.csv").display()))
    );
    assert_eq!(fixture.read("a.csv"), "before");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_that_an_output_cannot_hold_has_the_line_of_the_file() {
    let mut fixture = Fixture::new();
    let error = fixture.run_file("q.sql", "\\o DIR/a.csv\nSELECT 1 AS x;\nSELECT 2 AS x;").await.unwrap_err();
    assert!(error.to_string().contains("q.sql:3: a file in csv"), "{error}");
    let error = fixture.run_file("q.sql", "\n\nSELECT 1 AS x, 2 AS x \\g DIR/a.json").await.unwrap_err();
    assert!(error.to_string().contains("q.sql:3: two columns are called `x`"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_whose_ending_is_no_format_changes_nothing() {
    let mut fixture = Fixture::new();
    fixture.run("\\o DIR/a.json\nSELECT 1 AS x;").await.unwrap();
    let error = fixture.run("\\o DIR/b.xlsx").await.unwrap_err();
    assert!(error.to_string().contains("`.xlsx`") && error.kind() == ErrorKind::Failed, "{error}");
    fixture.run("SELECT 2 AS x;\n\\o").await.unwrap();
    assert_eq!(fixture.read("a.json"), "{\"x\":1}\n{\"x\":2}\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watched_statement_runs_again() {
    let mut fixture = Fixture::new();
    fixture.run("\\o DIR/a.json\nSELECT 1 AS x \\watch 0.1 3\n\\o").await.unwrap();
    assert_eq!(fixture.read("a.json"), "{\"x\":1}\n".repeat(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_mesh_is_described_in_the_format_of_the_output() {
    let mut fixture = Fixture::new();
    fixture.run("CREATE TABLE mine (n INT, note VARCHAR);\n\\o DIR/a.csv\n\\d mine\n\\o").await.unwrap();
    let described = fixture.read("a.csv");
    assert_eq!(described, "column,type,nullable\nn,INTEGER,true\nnote,VARCHAR,true\n");
    fixture
        .run("\\o DIR/b.csv\n\\d mesh\n\\o\n\\o DIR/c.csv\n\\dt m?n*\n\\o\n\\o DIR/d.csv\n\\df array_has*\n\\o")
        .await
        .unwrap();
    assert!(fixture.read("b.csv").contains("mesh,ports\n"), "{}", fixture.read("b.csv"));
    assert_eq!(
        fixture.read("c.csv"),
        "domain,product,port,description\nportolan,session,mine,a table of this session\n"
    );
    let functions = fixture.read("d.csv");
    assert!(functions.contains("\narray_has,") && !functions.contains("\nabs,"), "{functions}");
    let script = "\\o DIR/e.csv\n\\dt session.m*\n\\o\n\\o DIR/f.csv\n\\dt PORTOLAN.*.mi?e\n\\o\n\\o DIR/g.csv\n\\dt other.*\n\\o";
    fixture.run(script).await.unwrap();
    let listed = "domain,product,port,description\n";
    let found = format!("{listed}portolan,session,mine,a table of this session\n");
    assert_eq!(["e.csv", "f.csv", "g.csv"].map(|name| fixture.read(name)), [&*found, &*found, listed]);
    // As in SQL, names without quotes have no capitals.
    fixture.run("\\o DIR/h.csv\n\\d Portolan.SESSION.Mine\n\\o").await.unwrap();
    assert_eq!(fixture.read("h.csv"), described);
    assert!(fixture.run("\\d \"Mine\"").await.is_err());
    let error = fixture.run("\\d mone").await.unwrap_err().to_string();
    assert!(error.contains("did you mean `portolan.session.mine`?") && error.contains("`\\d` lists"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_without_their_statement_are_refused() {
    for (command, part) in [
        ("\\g", "there is no last statement"),
        ("\\watch", "there is no last statement"),
        ("\\plan", "there is no last statement"),
        ("\\c", "the node runs in this process"),
        ("\\e", "commands of the prompt"),
        ("\\s", "commands of the prompt"),
    ] {
        let error = Fixture::new().run(command).await.unwrap_err().to_string();
        assert!(error.contains(part), "{command}: {error}");
    }
}
