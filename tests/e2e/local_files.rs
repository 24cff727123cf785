//! Files that statements and `\copy` name, in a node of the same process and through an upload to another one, and the
//! views of sessions.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use arrow::array::{Float64Array, StringArray};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use portolan_cli::connection::{Connection, Target};
use portolan_cli::repl::copy::copy;
use portolan_engine::ErrorKind;
use portolan_tests::mesh::{Mesh, within};
use portolan_tests::node::{Node, output, program, run};
use portolan_tests::products::{self, PortFile};
use portolan_tests::rows::{assert_says, count, failure, text};
use portolan_tests::ways::{table, write_parquet};
use serde_json::{Value, json};
use tempfile::TempDir;

const ORDERS: &str = "id,customer,amount\n1,ann,10.5\n2,bob,20.0\n3,ann,5.25\n";

/// Returns a folder with files of every format.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| std::fs::write(folder.path().join(name), content).unwrap();
    write("orders.csv", ORDERS);
    write("customers.jsonl", "{\"name\":\"ann\",\"country\":\"FR\"}\n{\"name\":\"bob\",\"country\":\"DE\"}\n");
    write("semi.txt", "7;x\n8;y\n");
    std::fs::create_dir(folder.path().join("rates")).unwrap();
    for (name, country, rate) in [("a", "FR", 0.5), ("b", "DE", 2.0)] {
        let columns: Vec<(&str, arrow::array::ArrayRef)> = vec![
            ("country", Arc::new(StringArray::from(vec![country]))),
            ("rate", Arc::new(Float64Array::from(vec![rate]))),
        ];
        write_parquet(&folder.path().join("rates").join(format!("{name}.parquet")), &table(columns));
    }
    folder
}

fn write_config(folder: &Path, config: &Value) -> String {
    let file = folder.join("node.yaml");
    std::fs::write(&file, config.to_string()).unwrap();
    file.to_str().unwrap().to_owned()
}

/// Runs statements with `portolan sql` in `folder`. Returns its exit code, standard output and standard error.
fn sql(folder: &Path, target: &[&str], statements: &str) -> (Option<i32>, String, String) {
    let mut command = Command::new(program());
    command.current_dir(folder).stdin(Stdio::null());
    command.arg("sql").args(target).args(["--format", "csv", "-c", statements]);
    output(command)
}

/// The statements over the files of [`folder`], with their results.
const STATEMENTS: [(&str, &str); 7] = [
    ("SELECT id, amount FROM 'orders.csv' WHERE customer = 'ann' ORDER BY id", "id,amount\n1,10.5\n3,5.25\n"),
    (
        "SELECT o.id, c.country, o.amount * r.rate AS due FROM 'orders.csv' o JOIN 'customers.jsonl' c \
         ON c.name = o.customer JOIN read_parquet('rates/*.parquet') r ON r.country = c.country ORDER BY o.id",
        "id,country,due\n1,FR,5.25\n2,DE,40.0\n3,FR,2.625\n",
    ),
    // A file is called by its name.
    ("SELECT orders.customer, COUNT(*) FROM './orders.csv' GROUP BY 1 ORDER BY 1", "customer,count(*)\nann,2\nbob,1\n"),
    (
        "SELECT column_1, column_2 FROM read_csv('semi.txt', delim = ';', header = false) ORDER BY 1",
        "column_1,column_2\n7,x\n8,y\n",
    ),
    ("CREATE TABLE t AS SELECT * FROM 'orders.csv'; SELECT sum(id) AS s FROM t", "s\n6\n"),
    (
        "CREATE VIEW large AS SELECT id, amount FROM 'orders.csv' WHERE amount > 9; \
         SELECT count(*) AS n, max(amount) AS m FROM large",
        "n,m\n2,20.0\n",
    ),
    ("SELECT max(o.id) - p.id AS d FROM 'orders.csv' o, lab.samples.numbers p GROUP BY p.id", "d\n2\n"),
];

/// Writes the descriptors of the port `lab.samples.numbers` with the one row 1, and returns the config of its node.
fn with_port(home: &Path) -> Value {
    let file = home.join("numbers.csv");
    std::fs::write(&file, "id\n1\n").unwrap();
    products::write(home, &[PortFile::local("numbers", &file, "csv", &[("id", "integer")])]);
    json!({ "domain": "lab" })
}

#[test]
fn an_embedded_node_reads_files() {
    let (folder, home) = (folder(), tempfile::tempdir().unwrap());
    let config = write_config(home.path(), &with_port(home.path()));
    for (statements, expected) in STATEMENTS {
        let (code, out, err) = sql(folder.path(), &["--config", &config], statements);
        // As from another node, the number of rows of the first statement is no row.
        assert_eq!((code, out.as_str()), (Some(0), expected), "{statements}\n{err}");
    }
    let (_, out, err) = sql(folder.path(), &["--config", &config], "EXPLAIN SELECT * FROM 'orders.csv'");
    assert!(out.contains("(3 rows)"), "the estimate of the rows of a file\n{out}\n{err}");
    let (code, _, err) = sql(folder.path(), &["--config", &config], "SELECT 1\n FROM 'nothing.csv'");
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("`'nothing.csv'`: ") && err.contains("cannot be read"), "{err}");
    assert!(err.contains("(line 2, column 7)"), "{err}");
    let refusing = write_config(home.path(), &json!({ "local_files": false }));
    let (code, _, err) = sql(folder.path(), &["--config", &refusing], "SELECT * FROM 'orders.csv'");
    assert!(code == Some(1) && err.contains("does not read files of its machine"), "{err}");
}

#[test]
fn a_file_in_a_view_stays_a_file() {
    let (folder, home) = (folder(), tempfile::tempdir().unwrap());
    let config = write_config(home.path(), &json!({}));
    let statements = "CREATE VIEW v AS SELECT sum(id) AS s FROM 'orders.csv'; \
                      CREATE TABLE \"'orders.csv'\" AS SELECT 100 AS id; \
                      SELECT s FROM v; SELECT id FROM 'orders.csv'; SELECT s, id FROM v, 'orders.csv'; \
                      CREATE VIEW w AS SELECT id FROM 'orders.csv'; SELECT id FROM w; \
                      DROP TABLE \"'orders.csv'\"; SELECT s FROM v";
    let (code, out, err) = sql(folder.path(), &["--config", &config], statements);
    assert_eq!((code, out.as_str()), (Some(0), "s\n6\nid\n100\ns,id\n6,100\nid\n100\ns\n6\n"), "{err}");
    let (code, _, err) = sql(folder.path(), &["--config", &config], &format!("{statements}; SELECT id FROM w"));
    assert!(code == Some(1) && err.contains("which was dropped"), "{err}");
}

#[test]
fn a_client_uploads_the_files_of_its_machine() {
    let (folder, home) = (folder(), tempfile::tempdir().unwrap());
    let node = Node::start(home.path(), with_port(home.path()));
    let target = ["--url", node.url()];
    for (statements, expected) in STATEMENTS {
        let (code, out, err) = sql(folder.path(), &target, statements);
        assert_eq!((code, out.as_str()), (Some(0), expected), "{statements}\n{err}");
    }
    let listed =
        "SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = 'session' ORDER BY 1";
    let statements = format!("SELECT count(*) AS n FROM 'orders.csv'; {listed}");
    let (_, out, err) = sql(folder.path(), &target, &statements);
    assert_eq!(out, "n\n3\ntable_name,table_type\n'orders.csv',LOCAL TEMPORARY\n", "{err}");
    let (code, _, err) = sql(folder.path(), &target, "SELECT 1\n FROM 'nothing.csv'");
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("`'nothing.csv'`: ") && err.contains("cannot be read"), "{err}");
    assert!(err.contains("(line 2, column 7)"), "{err}");
    let (code, _, err) = sql(folder.path(), &target, "SELECT * FROM read_csv('orders.csv', headr = true)");
    assert!(code == Some(1) && err.contains("did you mean `header`?"), "{err}");
}

/// Returns the rows of a statement as text: values with commas between them.
async fn lines(connection: &Connection, sql: &str) -> Vec<String> {
    let (_, batches) = connection.query(sql, 1000).await.unwrap_or_else(|e| panic!("{sql}: {}", e.chain()));
    let options = FormatOptions::default();
    let of_batch = |batch: &arrow::array::RecordBatch| {
        let columns: Vec<_> = batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &options).unwrap()).collect();
        let line = |row| columns.iter().map(|c| c.value(row).to_string()).collect::<Vec<_>>().join(",");
        (0..batch.num_rows()).map(line).collect::<Vec<_>>()
    };
    batches.iter().flat_map(of_batch).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_uploaded_again_only_if_it_changed() {
    within(120, async {
        let (folder, home) = (folder(), tempfile::tempdir().unwrap());
        let node = Node::start(home.path(), json!({}));
        let connection = Connection::open(&Target::url(node.url())).await.unwrap();
        let path = folder.path().join("orders.csv").display().to_string();
        let (counted, own) = (format!("SELECT count(*) FROM '{path}'"), format!("portolan.session.\"'{path}'\""));
        assert_eq!(lines(&connection, &counted).await, ["3"]);
        // The rows of the node's table show if the file is uploaded again.
        lines(&connection, &format!("DELETE FROM {own} WHERE id = 1")).await;
        assert_eq!(lines(&connection, &counted).await, ["2"]);
        std::fs::write(&path, format!("{ORDERS}4,eve,1\n")).unwrap();
        assert_eq!(lines(&connection, &counted).await, ["4"]);
        lines(&connection, &format!("DROP TABLE {own}")).await;
        assert_eq!(lines(&connection, &counted).await, ["4"]);

        // A table that the client has not made is not replaced.
        let other = Connection::open(&Target::url(node.url())).await.unwrap();
        lines(&other, &format!("CREATE TABLE {own} AS SELECT 7 AS mine")).await;
        let error = other.query(&counted, 10).await.unwrap_err();
        assert_says(&error, ErrorKind::AlreadyExists, &["already has a table"]);
        assert_eq!(lines(&other, &format!("SELECT mine FROM {own}")).await, ["7"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_uploaded_again_after_a_cancelled_upload() {
    within(120, async {
        let (folder, home) = (folder(), tempfile::tempdir().unwrap());
        let node = Node::start(home.path(), json!({}));
        let connection = Connection::open(&Target::url(node.url())).await.unwrap();
        let path = folder.path().join("many.csv").display().to_string();
        // An upload of a few rows can end before this task sees that it has started.
        std::fs::write(&path, format!("id\n{}", "1234567\n".repeat(400_000))).unwrap();
        let (counted, own) = (format!("SELECT count(*) FROM '{path}'"), format!("portolan.session.\"'{path}'\""));
        let started = async {
            while connection.files().progress().is_none() {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            () = started => {}
            done = connection.query(&counted, 10) => panic!("the upload was not seen: {done:?}"),
        }
        // The node may have stored the rows before it noticed that the upload was cancelled.
        lines(&connection, &format!("CREATE OR REPLACE TABLE {own} AS SELECT 7 AS id")).await;
        assert_eq!(lines(&connection, &counted).await, ["400000"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_too_large_is_refused_with_its_size_and_the_limit() {
    within(120, async {
        let (folder, home) = (folder(), tempfile::tempdir().unwrap());
        let rows: String = (0..20_000).map(|n| format!("{n},{}\n", "x".repeat(90))).collect();
        let path = folder.path().join("large.csv").display().to_string();
        std::fs::write(&path, format!("n,s\n{rows}")).unwrap();
        let node = Node::start(home.path(), json!({ "limits": { "session_tables": 100_000 } }));
        let connection = Connection::open(&Target::url(node.url())).await.unwrap();
        let error = connection.query(&format!("SELECT count(*) FROM '{path}'"), 10).await.unwrap_err();
        assert_says(&error, ErrorKind::ResourceExhausted, &["1.9 MB", "100000 bytes", "limits.session_tables"]);
        // The session works, and has no part of the file.
        let own = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'session'";
        assert_eq!(lines(&connection, own).await, ["0"]);
        // A file whose rows do not fit its first ones is no complete upload.
        let rows: String = (0..5_000).map(|n| format!("{n}\n")).collect();
        std::fs::write(&path, format!("n\n{rows}none\n")).unwrap();
        let error = connection.query(&format!("SELECT n FROM '{path}'"), 10).await.unwrap_err();
        assert!(error.owner_chain().contains("none"), "{}", error.owner_chain());
        assert_eq!(lines(&connection, own).await, ["0"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_reads_no_file_of_its_machine_unless_its_config_names_a_folder() {
    within(180, async {
        let (folder, home) = (folder(), tempfile::tempdir().unwrap());
        let path = folder.path().join("orders.csv").display().to_string();
        let node = Node::start(home.path(), json!({}));
        let client = node.client().await;
        let says = ["`'x.csv'` names a file", "does not read files", "\\copy", " (line 1, column 15)"];
        assert_says(&failure(&client, "SELECT * FROM 'x.csv'").await, ErrorKind::Unsupported, &says);
        for sql in [
            format!("SELECT * FROM '{path}'"),
            format!("SELECT * FROM read_csv('{path}')"),
            format!("CREATE VIEW v AS SELECT * FROM '{path}'"),
            format!("DESCRIBE '{path}'"),
            "INSERT INTO lab.samples.t SELECT * FROM read_parquet('/etc/*')".to_owned(),
        ] {
            assert_says(&failure(&client, &sql).await, ErrorKind::Unsupported, &["does not read files"]);
        }

        let allowing = Node::start(&home.path().join("allowing"), json!({ "local_files": folder.path() }));
        let client = allowing.client().await;
        assert_eq!(count(&client, "SELECT count(*) FROM 'orders.csv'").await, Ok(3));
        assert_eq!(count(&client, &format!("SELECT count(*) FROM '{path}'")).await, Ok(3));
        assert_eq!(count(&client, "SELECT count(*) FROM 'rates/*.parquet'").await, Ok(2));
        for outside in ["../secret.csv", "/etc/passwd.csv", "rates/../../x.csv"] {
            let error = failure(&client, &format!("SELECT * FROM '{outside}'")).await;
            assert_says(&error, ErrorKind::NotFound, &["`local_files`"]);
        }
        let error = failure(&client, "SELECT * FROM 'nothing.csv'").await;
        let place = folder.path().display().to_string();
        assert!(!error.chain().contains(&place), "{}", error.chain());

        let all = write_config(home.path(), &json!({ "listen": "127.0.0.1:0", "local_files": true }));
        for arguments in [&["serve", "--config", &all][..], &["serve", "--config", &all, "--check"][..]] {
            let (code, _, err) = run(arguments, &[]);
            assert!(code == Some(2) && err.contains("name a folder"), "{code:?}: {err}");
        }
    })
    .await;
}

/// Copies files into tables and rows into files, on one connection.
async fn copies_both_ways(connection: &Connection, folder: &Path) {
    let at = |name: &str| folder.join(name).display().to_string();
    let copied = async |arguments: String| {
        copy(connection, &arguments).await.unwrap_or_else(|e| panic!("{arguments}: {}", e.owner_chain()))
    };
    let orders = at("orders.csv");
    assert_eq!(copied(format!("t from '{orders}'")).await, "3 rows copied into t");
    assert_eq!(copied(format!("t FROM {orders}")).await, "3 rows copied into t");
    assert_eq!(lines(connection, "SELECT count(*), sum(id) FROM t").await, ["6,12"]);
    let query = "(SELECT DISTINCT id, customer FROM t ORDER BY id)";
    for (ending, file) in [("csv", true), ("jsonl", true), ("ndjson", true), ("parquet", false), ("arrow", false)] {
        let to = at(&format!("out.{ending}"));
        assert_eq!(copied(format!("{query} to '{to}'")).await, format!("3 rows copied to {to}"));
        assert_eq!(copied(format!("\"u {ending}\" from '{to}'")).await, format!("3 rows copied into \"u {ending}\""));
        let back = format!("SELECT id, customer FROM \"u {ending}\" ORDER BY id");
        assert_eq!(lines(connection, &back).await, ["1,ann", "2,bob", "3,ann"], "{ending}");
        if file {
            assert!(std::fs::read_to_string(&to).unwrap().contains("bob"));
        }
    }
    assert_eq!(std::fs::read_to_string(at("out.csv")).unwrap(), "id,customer\n1,ann\n2,bob\n3,ann\n");
    assert_eq!(
        std::fs::read_to_string(at("out.jsonl")).unwrap().lines().next(),
        Some("{\"id\":1,\"customer\":\"ann\"}")
    );
    let semi = at("semi.txt");
    copied(format!("s from '{semi}' with (format csv, delimiter ';', header off)")).await;
    assert_eq!(lines(connection, "SELECT column_2, column_1 FROM s ORDER BY 1").await, ["x,7", "y,8"]);
    for (arguments, says) in [
        (format!("t to '{}'", at("t.xlsx")), "`.parquet`"),
        (format!("t from '{}'", at("nothing.csv")), "cannot be read"),
        (format!("t from '{semi}' (header false)"), "no column `column_1`"),
        (format!("missing to '{}'", at("m.csv")), "missing"),
        ("t".to_owned(), "expects"),
    ] {
        let error = copy(connection, &arguments).await.unwrap_err().owner_chain();
        assert!(error.contains(says), "{arguments}: {error}");
    }
    assert!(!folder.join("m.csv").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_copied_both_ways() {
    within(180, async {
        let home = tempfile::tempdir().unwrap();
        // The command reads the files of the client's machine, whatever statements may name.
        let config = write_config(home.path(), &json!({ "local_files": false }));
        let embedded = Connection::open(&Target::Config(config.into())).await.unwrap();
        copies_both_ways(&embedded, folder().path()).await;
        let node = Node::start(&home.path().join("node"), json!({}));
        let remote = Connection::open(&Target::url(node.url())).await.unwrap();
        copies_both_ways(&remote, folder().path()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn views_are_planned_across_the_mesh() {
    within(120, async {
        let mesh = Mesh::shared().await;
        let client = mesh.client().await;
        let create = "CREATE VIEW asia AS SELECT n_nationkey AS k, n_name AS name FROM geo.places.nation \
                      JOIN geo.places.region ON n_regionkey = r_regionkey WHERE r_name = 'ASIA'";
        assert_eq!(client.prepare(create).await.unwrap().changed(), Some(0));
        let names = text(&client, "SELECT name FROM asia ORDER BY name").await;
        let shown: Vec<&str> = names.lines().skip(3).map(|line| line.trim_matches(['|', ' '])).collect();
        assert_eq!(shown[..5], ["CHINA", "INDIA", "INDONESIA", "JAPAN", "VIETNAM"]);
        let join = "SELECT name, count(*) AS customers FROM asia JOIN sales.customers.customer ON c_nationkey = k \
                    GROUP BY name ORDER BY name";
        let placed = text(&client, join).await;
        client.query("SET portolan.placement = off").await.unwrap();
        assert_eq!(text(&client, join).await, placed);
        client.query("SET portolan.placement = on").await.unwrap();
        // The owner joins its two ports.
        let plan = text(&client, "EXPLAIN SELECT name FROM asia").await;
        assert!(plan.contains("geo.places.nation") && plan.contains("geo.places.region"), "{plan}");
        let kind = "SELECT table_type FROM information_schema.tables WHERE table_name = 'asia'";
        assert!(text(&client, kind).await.contains("VIEW"));

        // A session table with the name of a port does not change the view.
        client.query("USE geo.places").await.unwrap();
        client.prepare("CREATE VIEW nations AS SELECT count(*) AS n FROM nation").await.unwrap();
        client.prepare("CREATE TABLE nation AS SELECT 1 AS only").await.unwrap();
        assert_eq!(count(&client, "SELECT count(*) FROM nation").await, Ok(1));
        assert_eq!(count(&client, "SELECT n FROM nations").await, Ok(25));

        client.prepare("CREATE VIEW own AS SELECT only FROM nation").await.unwrap();
        client.prepare("DROP TABLE nation").await.unwrap();
        assert_says(&failure(&client, "SELECT * FROM own").await, ErrorKind::NotFound, &["view `own`", "`nation`"]);
        assert_eq!(count(&client, "SELECT n FROM nations").await, Ok(25));
        client.prepare("DROP VIEW asia").await.unwrap();
        assert_says(&failure(&client, "SELECT * FROM asia").await, ErrorKind::NotFound, &["asia"]);
        let other = mesh.client().await;
        for name in ["nations", "portolan.session.nations"] {
            let error = failure(&other, &format!("SELECT * FROM {name}")).await;
            assert_says(&error, ErrorKind::NotFound, &["nations"]);
        }
    })
    .await;
}
