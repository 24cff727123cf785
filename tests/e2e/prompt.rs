//! The prompt and scripts of `portolan sql`: commands, files, formats, errors, and what fits a terminal.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use arrow::array::{Decimal128Array, Int32Array, StringArray};
use portolan_flight_server::hash_password;
use portolan_tests::node::{Node, output, program, run};
use portolan_tests::products::{self, DOMAIN, PortFile};
use portolan_tests::terminal::{Prompt, run_on_wide_terminal};
use portolan_tests::ways::{table, write_parquet};
use serde_json::json;

/// Starts a node with a port `lab.samples.items`.
fn node(home: &Path) -> Node {
    std::fs::create_dir_all(home).unwrap();
    let file = home.join("items.parquet");
    let price = Decimal128Array::from(vec![1050, 99]).with_precision_and_scale(15, 2).unwrap();
    let columns: Vec<(&str, arrow::array::ArrayRef)> = vec![
        ("id", Arc::new(Int32Array::from(vec![1, 2]))),
        ("price", Arc::new(price)),
        ("note", Arc::new(StringArray::from(vec![Some(""), None]))),
    ];
    write_parquet(&file, &table(columns));
    let types = [("id", "integer"), ("price", "number"), ("note", "string")];
    products::write(home, &[PortFile::local("items", &file, "parquet", &types)]);
    Node::start(home, json!({ "domain": DOMAIN }))
}

/// Runs a line of the shell, in which `$0` is `portolan`.
fn shell(line: &str) -> (Option<i32>, String, String) {
    let mut command = Command::new("sh");
    command.args(["-c", line]).arg(program()).stdin(Stdio::null());
    output(command)
}

#[test]
fn commands_run_in_arguments_files_and_pipes() {
    let folder = tempfile::tempdir().unwrap();
    let node = node(folder.path());
    let sql = |arguments: &[&str]| run(&[&["sql", "--url", node.url()][..], arguments].concat(), &[]);
    let expected = "domain,product,port,description\n";
    let (code, out, err) = sql(&["--format", "csv", "-c", "\\d"]);
    assert!(code == Some(0) && out.starts_with(expected) && out.contains("lab,samples,items,"), "{out}{err}");
    let (code, out, err) = sql(&["-c", "\\x", "-c", "SELECT id FROM lab.samples.items ORDER BY id"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("─ row 2 ─") && out.contains("\nid │ 2\n") && out.ends_with("(2 rows)\n"), "{out}");
    // One statement as the argument itself.
    let (code, out, err) = sql(&["--format", "csv", "SELECT 41 + 1 AS answer"]);
    assert_eq!((code, out.as_str()), (Some(0), "answer\n42\n"), "{err}");
    let file = folder.path().join("script.sql");
    let script =
        "\\o {}/out.csv\nSELECT id, note FROM lab.samples.items\n\\timing off\nORDER BY id;\n\\q\nSELECT nothing;\n";
    std::fs::write(&file, script.replace("{}", folder.path().to_str().unwrap())).unwrap();
    let (code, out, err) = sql(&["-f", file.to_str().unwrap()]);
    assert_eq!((code, out.as_str()), (Some(0), ""), "{err}");
    assert_eq!(std::fs::read_to_string(folder.path().join("out.csv")).unwrap(), "id,note\n1,\"\"\n2,\n");
    let line = format!("printf 'SELECT 1 AS one\\n\\\\g\\n' | \"$0\" sql --url {} --format json", node.url());
    let (code, out, err) = shell(&line);
    assert_eq!((code, out.as_str()), (Some(0), "{\"one\":1}\n"), "{err}");
}

#[test]
fn a_port_is_described_with_sql_types_and_what_is_known_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let node = node(folder.path());
    let sql = |command: &str| run(&["sql", "--url", node.url(), "-c", command], &[]);
    let (code, out, err) = sql("\\d lab.samples.items");
    assert_eq!(code, Some(0), "{err}");
    for part in ["lab.samples.items", "INTEGER", "DECIMAL(15,2)", "VARCHAR", "(3 rows)", "\nVersion: 1.0.0\n"] {
        assert!(out.contains(part), "{part}\n{out}");
    }
    let (code, out, err) = sql("\\d mesh");
    assert!(code == Some(0) && out.contains(" ports") && out.contains(" nodes"), "{out}{err}");
    let (code, _, err) = sql("\\d lab.samples.itmes");
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("did you mean `lab.samples.items`? `\\d` lists"), "{err}");
}

#[test]
fn errors_of_scripts_name_the_line_and_end_the_script() {
    let folder = tempfile::tempdir().unwrap();
    let node = node(folder.path());
    let file = folder.path().join("q.sql");
    std::fs::write(&file, "SELECT 1 AS one;\n\nSELECT id,\n  three\nFROM lab.samples.items;\nSELECT 2;\n").unwrap();
    let (code, out, err) = run(&["sql", "--url", node.url(), "-f", file.to_str().unwrap()], &[]);
    assert_eq!(code, Some(1), "{err}");
    assert!(out.contains("one") && !out.contains('2'), "{out}");
    assert!(
        err.contains("q.sql:4: ") && err.contains("(line 4, column 3)") && err.contains("\n  4 │   three\n"),
        "{err}"
    );
    for (command, part) in [("\\nonsense", "there is no command `\\nonsense`"), ("\\i /nowhere.sql", "/nowhere.sql")] {
        let (code, _, err) = run(&["sql", "--url", node.url(), "-c", command], &[]);
        assert!(code == Some(1) && err.contains(part), "{err}");
    }
    let (code, _, err) = run(&["sql", "--url", node.url(), file.to_str().unwrap()], &[]);
    assert!(code == Some(2) && err.contains("`-f "), "{err}");
}

#[test]
fn the_ending_of_the_output_chooses_the_format() {
    let folder = tempfile::tempdir().unwrap();
    let node = node(folder.path());
    let write = |name: &str, more: &[&str]| {
        let file = folder.path().join(name);
        let select = "SELECT id FROM lab.samples.items ORDER BY id";
        let arguments = ["sql", "--url", node.url(), "-c", select, "--output", file.to_str().unwrap()];
        let (code, _, err) = run(&[&arguments[..], more].concat(), &[]);
        (code, err, std::fs::read(&file).unwrap_or_default())
    };
    for (name, start) in [
        ("a.csv", "id\n1\n"),
        ("a.json", "{\"id\":1}\n"),
        ("a.jsonl", "{\"id\":1}\n"),
        ("a.ndjson", "{\"id\":1}\n"),
        ("a.arrow", "ARROW1"),
        ("a.parquet", "PAR1"),
        ("a.txt", " id\n"),
    ] {
        let (code, err, written) = write(name, &[]);
        assert_eq!(code, Some(0), "{name}: {err}");
        assert!(written.starts_with(start.as_bytes()), "{name}: {}", String::from_utf8_lossy(&written));
    }
    let (code, err, written) = write("b.parquet", &["--format", "csv"]);
    assert!(code == Some(2) && written.is_empty(), "{err}");
    assert!(err.contains("change one of the two"), "{err}");
    let (code, err, _) = write("b.xlsx", &[]);
    assert!(code == Some(2) && err.contains("`.xlsx` stands for no format"), "{err}");
}

#[test]
fn a_closed_pipe_ends_every_format_quietly() {
    let folder = tempfile::tempdir().unwrap();
    let node = node(folder.path());
    for format in ["table", "csv", "json", "arrow", "parquet"] {
        let select = "SELECT value, value * 2 AS twice FROM generate_series(1, 100000)";
        let command = format!("\"$0\" sql --url {} --format {format} -c \"{select}\"", node.url());
        let (_, out, err) = shell(&format!("{{ {command}; echo \"code $?\" >&2; }} | head -c 1"));
        assert!(!out.is_empty() && err == "code 0\n", "{format}: {err}");
    }
}

#[test]
fn no_line_of_a_wide_result_wraps() {
    let folder = tempfile::tempdir().unwrap();
    let node = node(folder.path());
    let columns: Vec<_> = (1..=16).map(|n| format!("{} AS a_column_{n}", 1_000_000 * n)).collect();
    let select = format!("SELECT {}, 'a note of some length in the last column' AS note", columns.join(", "));
    for columns in [80, 120, 200] {
        let (code, shown) = run_on_wide_terminal(columns, &["sql", "--url", node.url(), "-c", &select]);
        assert_eq!(code, Some(0), "{shown}");
        let lines: Vec<_> = shown.lines().collect();
        assert!(lines[..3].iter().all(|line| line.chars().count() <= columns.into()), "{shown}");
        assert!(lines[2].trim_start().starts_with("1000000 │"), "{shown}");
        assert_eq!(lines[0].contains("│ … │"), columns < 200, "{shown}");
        assert_eq!(shown.contains("of 17 columns do not fit"), columns < 200, "{shown}");
        assert!(shown.contains("`\\x` shows everything"), "{shown}");
        let (_, shown) = run_on_wide_terminal(columns, &["sql", "--url", node.url(), "-c", "\\x auto", "-c", &select]);
        assert!(shown.starts_with("─ row 1 ─") && shown.contains("\na_column_16 │ 16000000\n"), "{shown}");
    }
}

#[test]
fn the_catalog_command_logs_in_and_suggests_names() {
    let folder = tempfile::tempdir().unwrap();
    let user = json!({ "name": "ann", "password_hash": hash_password("swordfish").unwrap() });
    let node = Node::start(folder.path(), json!({ "users": [user] }));
    let catalog = |arguments: &[&str], password: &str| {
        let arguments = [&["catalog"][..], arguments, &["--url", node.url(), "--user", "ann"]].concat();
        run(&arguments, &[("PORTOLAN_PASSWORD", Path::new(password))])
    };
    let (code, out, err) = catalog(&["list"], "swordfish");
    assert!(code == Some(0) && out.contains("domain"), "{out}{err}");
    let (code, _, err) = catalog(&["show", "mesh.nods"], "swordfish");
    assert!(code == Some(1) && err.contains("did you mean `portolan.mesh.nodes`?"), "{err}");
    assert!(err.contains("`portolan catalog list`") && !err.contains("\\d"), "{err}");
    let (code, _, err) = catalog(&["list"], "wrong");
    assert_eq!(code, Some(1), "{err}");
    let exposed = ["catalog", "list", "--url", "grpc://db.example:50051", "--user", "ann"];
    let (code, _, err) = run(&exposed, &[("PORTOLAN_PASSWORD", Path::new("swordfish"))]);
    assert!(code == Some(2) && err.contains("--allow-plaintext"), "{err}");
}

#[test]
fn the_password_in_the_environment_goes_to_no_other_node() {
    let folder = tempfile::tempdir().unwrap();
    let user = |name: &str| json!({ "name": name, "password_hash": hash_password("swordfish").unwrap() });
    let node = Node::start(&folder.path().join("a"), json!({ "users": [user("ann"), user("bob")] }));
    let other = Node::start(&folder.path().join("b"), json!({ "users": [user("ann")] }));
    let sql = |command: &str| {
        let arguments = ["sql", "--url", node.url(), "--user", "ann", "-c", command, "-c", "SELECT 7 AS n"];
        run(&arguments, &[("PORTOLAN_PASSWORD", Path::new("swordfish"))])
    };
    for known in ["\\c".to_owned(), format!("\\c {} ann", node.url())] {
        let (code, out, err) = sql(&known);
        assert!(code == Some(0) && out.contains('7'), "{known}: {out}{err}");
    }
    let first = format!("the password in PORTOLAN_PASSWORD is that for {} and the user ann", node.url());
    // The other node would accept the password.
    for unknown in [format!("\\c {} ann", other.url()), format!("\\c {} bob", node.url())] {
        let (code, out, err) = sql(&unknown);
        assert!(code != Some(0) && out.is_empty() && err.contains(&first), "{unknown}: {out}{err}");
    }
}

#[test]
fn the_prompt_runs_commands_within_a_statement() {
    let folder = tempfile::tempdir().unwrap();
    let node = node(&folder.path().join("node"));
    let rc = folder.path().join("rc");
    std::fs::write(&rc, "\\timing off\n").unwrap();
    let mut prompt = Prompt::start(&["sql", "--url", node.url()], folder.path(), &[("PORTOLAN_RC", rc.as_path())]);
    prompt.wait_for("> ", 1);
    prompt.type_in("SELECT 40 +\r");
    prompt.wait_for("-> ", 1);
    prompt.type_in("help\r");
    prompt.wait_for("lists the commands, Ctrl-C clears", 1);
    // `help` is a part of the statement now: clear it.
    prompt.type_in("\u{3}");
    prompt.type_in("SELECT 40 +\r");
    prompt.type_in("\\x\r");
    prompt.wait_for("each row is shown as a block", 1);
    prompt.type_in("2 AS answer;\r");
    prompt.wait_for("answer │ 42", 1);
    // The rc file has switched the times off.
    prompt.wait_for("(1 row)", 1);
    prompt.type_in("SELECT 1\r");
    prompt.type_in("\\q\r");
    let (code, shown) = prompt.end();
    assert_eq!(code, Some(0), "{shown}");
}

#[test]
fn arguments_stand_for_standard_streams_and_begin_with_comments() {
    let folder = tempfile::tempdir().unwrap();
    let node = node(folder.path());
    let sql = format!("\"$0\" sql --url {} --format csv", node.url());
    let (code, out, err) = shell(&format!("printf 'SELECT 7 AS x' | {sql} -f - --output -"));
    assert_eq!((code, out.as_str()), (Some(0), "x\n7\n"), "{err}");
    let (code, out, err) = shell(&format!("{sql} -c '-- a comment\nSELECT 8 AS x'"));
    assert_eq!((code, out.as_str()), (Some(0), "x\n8\n"), "{err}");
}

#[test]
fn a_new_file_is_as_private_as_the_user_wants() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let node = node(folder.path());
    let file = folder.path().join("a.csv");
    let line = format!("umask 077; \"$0\" sql --url {} -c 'SELECT 1 AS x' --output {}", node.url(), file.display());
    let (code, _, err) = shell(&line);
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn an_output_without_a_result_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let node = node(folder.path());
    let file = folder.path().join("a.parquet");
    let statement = "SET portolan.strategy = 'auto'";
    let arguments = ["sql", "--url", node.url(), "-c", statement, "--output", file.to_str().unwrap()];
    let (code, out, err) = run(&arguments, &[]);
    assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
    assert!(err.contains("no statement had a result") && err.contains("a.parquet is not written"), "{err}");
    assert!(!file.exists());
}

/// Sends a signal to the process of a prompt.
fn signal(prompt: &Prompt, name: &str) {
    assert!(Command::new("kill").args([name, &prompt.pid().to_string()]).status().unwrap().success());
}

#[test]
fn ctrl_c_ends_the_first_file_and_not_the_prompt() {
    let folder = tempfile::tempdir().unwrap();
    let node = node(&folder.path().join("node"));
    let rc = folder.path().join("rc");
    std::fs::write(&rc, "SELECT count(*) FROM generate_series(1, 100000000000);\n\\timing off\n").unwrap();
    let mut prompt = Prompt::start(&["sql", "--url", node.url()], folder.path(), &[("PORTOLAN_RC", rc.as_path())]);
    // The progress of the statement.
    prompt.wait_for("s", 1);
    signal(&prompt, "-INT");
    prompt.wait_for("cancelled", 1);
    prompt.wait_for("> ", 1);
    prompt.type_in("SELECT 6 * 7 AS answer;\r");
    // The rest of the file has not run.
    prompt.wait_for("(1 row, ", 1);
    prompt.type_in("\\q\r");
    let (code, shown) = prompt.end();
    assert!(code == Some(0) && shown.contains("42"), "{shown}");
}

#[test]
fn the_history_survives_the_end_of_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let node = node(&folder.path().join("node"));
    let mut prompt = Prompt::start(&["sql", "--url", node.url(), "--no-rc"], folder.path(), &[]);
    prompt.wait_for("> ", 1);
    prompt.type_in("SELECT 1 AS kept;\r");
    prompt.wait_for("(1 row", 1);
    signal(&prompt, "-KILL");
    let (code, shown) = prompt.end();
    assert_eq!(code, None, "{shown}");
    let history = std::fs::read_to_string(folder.path().join("portolan/history")).unwrap();
    assert_eq!(history, "SELECT 1 AS kept;\n");
}
