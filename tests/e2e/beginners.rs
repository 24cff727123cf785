//! What beginners type, and what they read: the exact text of each message. A failure lists all messages that differ.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use portolan_flight_server::hash_password;
use portolan_node::client::{Client, ConnectOptions};
use portolan_tests::mesh::{Mesh, until, within};
use portolan_tests::node::Node;
use serde_json::{Value, json};

const PASSWORD: &str = "correct-horse-battery";
const WRONG: &str = "wrong-horse-battery";
const SOON: Duration = Duration::from_secs(30);

/// A table with names as people have them in their files.
const PEOPLE: &str = r#"CREATE TABLE people ("City" VARCHAR, "Customer ID" BIGINT, "E-Mail" VARCHAR)"#;

/// Words of the libraries and of programmers, which no message has.
const INTERNALS: [&str; 20] = [
    "Utf8",
    "Int64",
    "Int32",
    "Float64",
    "Date32",
    "Decimal128",
    "MonthDayNano",
    "Ident {",
    "Identifier(",
    "Some(",
    "External error",
    "Arrow error",
    "Parser error",
    "Cast error",
    "Error during planning",
    "DataFusion",
    "datafusion",
    "bug",
    "line 0",
    "\n",
];

/// Statements on the demo's domains, and the whole message of each.
const STATEMENTS: &[(&str, &str)] = &[
    // Names of ports and columns.
    (
        "SELECT * FROM geo.places.natoin",
        "there is no port `geo.places.natoin`; did you mean `geo.places.nation`? (line 1, column 15)",
    ),
    ("SELECT * FROM nation", "there is no port `nation`; did you mean `geo.places.nation`? (line 1, column 15)"),
    (
        r#"SELECT * FROM "my list.csv""#,
        "there is no port `my list.csv`; the name of a file has single quotes: 'my list.csv' (line 1, column 15)",
    ),
    ("SELECT n_nam FROM geo.places.nation", "there is no column `n_nam`; did you mean `n_name`? (line 1, column 8)"),
    (
        "SELECT City FROM people",
        r#"there is no column `city`; write `"City"` in double quotes: without them, a name is read in lower case (line 1, column 8)"#,
    ),
    (
        "SELECT p.City FROM people p",
        r#"there is no column `p.city`; write `p."City"` in double quotes: without them, a name is read in lower case (line 1, column 8)"#,
    ),
    (
        "SELECT Customer ID FROM people",
        r#"there is no column `customer`; write `"Customer ID"` in double quotes (line 1, column 8)"#,
    ),
    ("SELECT E-Mail FROM people", r#"there is no column `e`; write `"E-Mail"` in double quotes (line 1, column 8)"#),
    (
        "SELECT phone FROM people",
        r#"there is no column `phone`; valid columns are "City", "Customer ID", "E-Mail" (line 1, column 8)"#,
    ),
    (
        r#"SELECT * FROM geo.places.nation WHERE n_name = "FRANCE""#,
        "there is no column `FRANCE`; valid columns are n_nationkey, n_name, n_regionkey, n_comment; for a string, write 'FRANCE' (line 1, column 48)",
    ),
    ("SELECT current_dat", "there is no column `current_dat`; for a string, write 'current_dat' (line 1, column 8)"),
    (
        "SELECT n.regionkey FROM geo.places.nation n JOIN geo.places.region r ON n.n_regionkey = r.r_regionkey",
        "there is no column `n.regionkey`; did you mean `n.n_regionkey`? (line 1, column 8)",
    ),
    (
        "SELECT x.n_name FROM geo.places.nation n",
        "there is no column `x.n_name`: FROM has no table `x`; did you mean `n.n_name`? (line 1, column 8)",
    ),
    (
        "SELECT n_name FROM geo.places.nation a, geo.places.nation b",
        "column `n_name` is in several tables: write `a.n_name` or `b.n_name` (line 1, column 8)",
    ),
    ("SELECT user.agent FROM people", "there is no column `user.agent`: FROM has no table `user` (line 1, column 8)"),
    (
        "SELECT session_user.agent FROM people",
        r#"`session_user` is a word of SQL: to read a column with this name, write `"session_user".agent` in double quotes (line 1, column 8)"#,
    ),
    (
        "SELECT * FROM 'people.csv'",
        r"`'people.csv'` names a file, and this node does not read files of its machine: run the statement with `portolan sql`, which uploads the file from your machine, or load the file into a table of the session, as `\copy t from 'FILE'` does; the name of a table has double quotes or none (line 1, column 15)",
    ),
    (
        "SELECT * FROM read_cvs('people.csv')",
        "there is no table function `read_cvs`: use generate_series, range, read_arrow, read_csv, read_csv_auto, read_json, read_json_auto, read_ndjson, read_parquet; did you mean `read_csv`? (line 1, column 15)",
    ),
    (
        "SELECT * FROM read_csv('people.csv', headr = true)",
        "`read_csv` has no option `headr`: use delim, sep, delimiter, header; did you mean `header`? (line 1, column 15)",
    ),
    ("DROP VIEW peple", "the session has no view `peple` (line 1, column 11)"),
    ("DROP TABLE peple", "the session has no table `peple`; did you mean `people`? (line 1, column 12)"),
    (
        "DROP TABLE geo.places.nation",
        "DROP TABLE cannot change the port `geo.places.nation`: only its domain changes its rows",
    ),
    ("UPDATE people SET Citi = 'Bern'", r#"`people` has no column `citi`; did you mean `"City"`? (line 1, column 19)"#),
    ("USE gep", "there is no domain `gep`; did you mean `geo`? (line 1, column 5)"),
    (
        "SET portolan.placment = off",
        "there is no setting `portolan.placment`; did you mean `portolan.placement`? (line 1, column 14)",
    ),
    // Groups.
    (
        "SELECT n_regionkey, count(*) FROM geo.places.nation GROUP BY n_regionkey HAVING cnt > 1",
        "there is no column `cnt`; valid columns are n_regionkey, n_nationkey, n_name, n_comment (line 1, column 81)",
    ),
    (
        "SELECT n_regionkey, n_name FROM geo.places.nation GROUP BY n_regionkey",
        "column `n_name` must be in GROUP BY or inside an aggregate (line 1, column 21)",
    ),
    (
        "SELECT n_name, count(*) FROM geo.places.nation",
        "column `n_name` must be in GROUP BY or inside an aggregate (line 1, column 8)",
    ),
    (
        "SELECT n_regionkey FROM geo.places.nation WHERE count(*) > 1",
        "WHERE cannot contain an aggregate: write the condition in HAVING",
    ),
    (
        "SELECT * FROM geo.places.nation ORDER BY 9",
        "ORDER BY 9 is not a column: the columns of the SELECT list are numbered from 1 to 4 (line 1, column 42)",
    ),
    // Functions.
    (
        "SELECT sum(n_name) FROM geo.places.nation",
        "function `sum` does not accept VARCHAR: write `sum(number)` or `sum(interval)` (line 1, column 8)",
    ),
    (
        "SELECT upper(n_name, 'x') FROM geo.places.nation",
        "function `upper` does not accept (VARCHAR, VARCHAR): write `upper(string)` (line 1, column 8)",
    ),
    (
        "SELECT sunm(n_regionkey) FROM geo.places.nation",
        "there is no function `sunm`; did you mean `sum`? (line 1, column 8)",
    ),
    ("SELECT getdate()", "there is no function `getdate`: write `now()` (line 1, column 8)"),
    (
        "SELECT regexp_replace('ALGERIA', '(A', 'x')",
        "a regular expression is not valid: unclosed group (line 1, column 34)",
    ),
    // Syntax.
    (
        "SELEC n_name FROM geo.places.nation",
        "syntax error: expected a statement, got `SELEC`; did you mean `SELECT`? (line 1, column 1)",
    ),
    (
        "SELECT * FORM geo.places.nation",
        "syntax error: expected the end of the statement, got `FORM`; did you mean `FROM`? (line 1, column 10)",
    ),
    (
        "SELECT * FROM geo.places.nation WHERE",
        "syntax error: expected an expression, got the end of the statement (line 1, column 38)",
    ),
    (
        "SELECT * FROM geo.places.nation WHERE n_name = 'FRANCE",
        "syntax error: the string that begins here has no closing quote, and a quote within a string is written twice (line 1, column 48)",
    ),
    ("SELECT *", "`SELECT *` needs a FROM with a table"),
    (
        "EXPLAIN (ANALYSE) SELECT 1",
        "EXPLAIN has no option ANALYSE: use ANALYZE, VERBOSE, FORMAT or POLICY; did you mean `ANALYZE`?",
    ),
    ("SELECT 1; SELECT 2", "more than one statement was sent: send one at a time"),
    // What users of other databases write.
    (
        "SELECT TOP 3 * FROM geo.places.nation",
        "`TOP 3` is not supported in a statement: write LIMIT 3 at the end of the query",
    ),
    (
        "SELECT * FROM geo.places.nation n ANTI JOIN geo.places.region r ON n.n_regionkey = r.r_regionkey",
        "`ANTI JOIN` is not supported in a statement: write LEFT ANTI JOIN",
    ),
    (
        "SELECT n_name FROM geo.places.nation JOIN geo.places.region",
        "a JOIN needs a condition: write ON or USING after the table, or CROSS JOIN for all pairs of rows (line 1, column 43)",
    ),
    (
        "SELECT n_name FROM geo.places.nation ORDER BY 'n_name'",
        r#"ORDER BY 'n_name' orders by a constant: for a column, write "n_name" in double quotes (line 1, column 47)"#,
    ),
    (
        "SELECT 2 ^ 3",
        "`^` is a power in DuckDB and PostgreSQL, and an exclusive OR in other databases: write `power(a, b)`, or `(a | b) - (a & b)` (line 1, column 8)",
    ),
    (
        "SELECT n_nationkey % 2 AS odd FROM geo.places.nation WHERE odd = 1",
        "there is no column `odd`: it is an alias of a SELECT list, which WHERE, ON and the list itself cannot read; repeat its expression, or write the SELECT as a subquery in FROM (line 1, column 60)",
    ),
    (
        "SELECT * FROM (SELECT n_name AS a, n_regionkey AS a FROM geo.places.nation)",
        "two columns of a subquery have the same name `a`: give each of them its own name with AS",
    ),
    (
        "SELECT lag(n_name) FROM geo.places.nation",
        "`lag` is a window function: write `lag(…) OVER (ORDER BY …)` (line 1, column 8)",
    ),
    (
        "SELECT mode(n_regionkey) FROM geo.places.nation",
        "there is no function `mode`: write `first_value(x ORDER BY n DESC)`, over a subquery with `count(*) AS n` for each x (line 1, column 8)",
    ),
    (
        "SELECT n_name[1] FROM geo.places.nation",
        "function `array_element` does not accept (VARCHAR, BIGINT): `[…]` reads an array; for characters of a string, write `substr(text, 1, 1)`",
    ),
    (
        "SELECT n_name <> ('FRANCE', 'PERU') FROM geo.places.nation",
        "`!=` does not accept VARCHAR and STRUCT: write IN for a list of values (line 1, column 8)",
    ),
    ("SELECT length([1, 2])", "`length` takes a string, got a list: write `array_length(list)`"),
    ("SELECT CAST(1 AS MONEY)", "there is no type `MONEY`: write DECIMAL(19,4) (line 1, column 18)"),
    (
        "SELECT n_name FROM geo.places.nation WHER n_name = 'A'",
        "syntax error: expected the end of the statement, got `n_name`; did you mean `WHERE` instead of `WHER`? (line 1, column 43)",
    ),
    (
        "SUMMARIZE geo.places.nation",
        "syntax error: expected a statement, got `SUMMARIZE`; `DESCRIBE` shows the columns, and aggregates such as `min(x)` and `count(DISTINCT x)` their values (line 1, column 1)",
    ),
    ("BEGIN", "BEGIN is not supported: there are no transactions, each statement stands alone"),
    (
        "SELECT * FROM `geo.places.nation`",
        "there is no port `geo.places.nation`; it is one name in quotes: write `geo.places.nation`, with quotes around each part (line 1, column 15)",
    ),
    // Types and values.
    ("SELECT CAST('abc' AS INT)", "cannot convert 'abc' to INTEGER (line 1, column 13)"),
    (
        "SELECT DATE '2024-02-30'",
        "cannot convert '2024-02-30' to DATE: expected a date like '2024-12-31' (line 1, column 13)",
    ),
    (
        "SELECT TIMESTAMP 'yesterday'",
        "cannot convert 'yesterday' to TIMESTAMP: expected a timestamp like '2024-12-31 23:59:59' (line 1, column 18)",
    ),
    ("SELECT CAST(300 AS TINYINT)", "300 does not fit the type TINYINT (line 1, column 13)"),
    (
        "SELECT * FROM sales.orders.orders WHERE o_orderdate > '1998-13-01'",
        "cannot convert '1998-13-01' to DATE: expected a date like '2024-12-31' (line 1, column 55)",
    ),
    (
        "SELECT * FROM sales.orders.orders WHERE o_orderdate > 1998",
        "a date cannot be compared with a number: write `extract(year FROM o_orderdate)` for its year, or a date as `DATE '2024-12-31'` (in `o_orderdate` and `1998`) (line 1, column 41)",
    ),
    (
        "SELECT * FROM geo.places.nation WHERE n_name",
        "a condition must be true or false, but `n_name` is VARCHAR: compare it, as in `n_name = …` (line 1, column 39)",
    ),
    (
        "SELECT n_name + 1 FROM geo.places.nation",
        "`+` does not accept VARCHAR and BIGINT: CAST one of them (line 1, column 8)",
    ),
    ("SELECT 'a' + 'b'", "`+` does not accept VARCHAR and VARCHAR: `||` concatenates strings"),
    (
        "SELECT INTERVAL '1 month' * 2",
        "`*` does not accept INTERVAL and BIGINT: write the interval itself, as in INTERVAL '2 months'",
    ),
    ("SELECT 1 / 0", "division by zero"),
    (
        "SELECT 9223372036854775807 + 1",
        "integer overflow: a result of `+` does not fit BIGINT; CAST an operand to DECIMAL(38, 0) or DOUBLE",
    ),
    (
        "SELECT (SELECT n_nationkey, n_name FROM geo.places.nation)",
        "a subquery in this place must return one column, and not 2",
    ),
    ("INSERT INTO people VALUES ('Bern')", "row 1 of VALUES has 1 value instead of 3"),
    ("SELECT * FROM (VALUES (1), (2, 3)) AS t(x)", "row 2 of VALUES has 2 values instead of 1"),
    ("CREATE TABLE t (a INTT)", "there is no type `INTT`; did you mean `INT`? (line 1, column 19)"),
];

/// What was typed, the expected message, and the message that came.
struct Said {
    typed: String,
    expected: String,
    came: String,
}

/// Fails with all messages that differ, and with all that have words of the libraries.
#[track_caller]
fn assert_all(said: &[Said]) {
    let mut wrong = vec![];
    for Said { typed, expected, came } in said {
        if came != expected {
            wrong.push(format!("{typed}\n  - {expected}\n  + {came}"));
        }
        for internal in INTERNALS.iter().filter(|internal| came.contains(**internal)) {
            wrong.push(format!("{typed}\n  `{internal}` is in {came}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} messages are wrong:\n{}", wrong.len(), said.len(), wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_about_statements_say_what_to_write() {
    within(240, async {
        let client = Mesh::shared().await.client().await;
        client.query(PEOPLE).await.unwrap();
        let mut said = vec![];
        for (sql, expected) in STATEMENTS {
            let came = match client.query(sql).await {
                Ok(_) => "no error".to_owned(),
                Err(error) => error.chain(),
            };
            said.push(Said { typed: (*sql).to_owned(), expected: (*expected).to_owned(), came });
        }
        assert_all(&said);
    })
    .await;
}

/// Writes a self-signed certificate for a name and its key, and returns their files.
fn certificate(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let (cert, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
    fs::write(&cert, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    (cert, key)
}

/// Starts a node with the user `ann`.
fn node(home: &Path, mut config: Value) -> Node {
    config["users"] = json!([{ "name": "ann", "password_hash": hash_password(PASSWORD).unwrap(), "node": true }]);
    Node::start(home, config)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_about_connections_say_what_to_change() {
    within(120, async {
        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = certificate(folder.path(), "127.0.0.1");
        let (other_cert, other_key) = certificate(folder.path(), "geo.example");
        let plain = node(&folder.path().join("plain"), json!({}));
        let secure = node(&folder.path().join("secure"), json!({ "tls": { "cert": &cert, "key": key } }));
        let other = node(&folder.path().join("other"), json!({ "tls": { "cert": &other_cert, "key": other_key } }));
        let (empty, gone) = (folder.path().join("empty.pem"), folder.path().join("gone.pem"));
        fs::write(&empty, "").unwrap();
        let plain_with_tls = plain.url().replacen("grpc://", "grpc+tls://", 1);
        let secure_without_tls = secure.url().replacen("grpc+tls://", "grpc://", 1);
        let ann = |password: &str| Some(("ann".to_owned(), password.to_owned()));
        let nobody: &str = "grpc://127.0.0.1:1";

        let cases = [
            (
                nobody,
                None,
                None,
                "cannot connect: no process listens at this address: start the node, or correct the URL".to_owned(),
            ),
            (
                plain_with_tls.as_str(),
                None,
                Some(&cert),
                format!("cannot connect: the node does not use TLS: write `{}`", plain.url()),
            ),
            (
                secure_without_tls.as_str(),
                None,
                None,
                format!(
                    "cannot connect: the node uses TLS: write `{}`, with the certificate of its authority (`ca`)",
                    secure.url()
                ),
            ),
            (
                secure.url(),
                None,
                None,
                "a `grpc+tls://` URL needs the certificate of a trusted authority: give its file with `--ca`".to_owned(),
            ),
            (
                secure.url(),
                None,
                Some(&empty),
                format!(
                    "{} has no certificate: expected the certificates of trusted authorities in PEM \
                     (`BEGIN CERTIFICATE`)",
                    empty.display()
                ),
            ),
            (
                secure.url(),
                None,
                Some(&gone),
                format!("{} cannot be read: No such file or directory (os error 2)", gone.display()),
            ),
            (
                secure.url(),
                None,
                Some(&other_cert),
                "cannot connect: the certificate of the node is not from a trusted authority: give the certificate of its \
                 authority as `ca`"
                    .to_owned(),
            ),
            (
                other.url(),
                None,
                Some(&other_cert),
                "cannot connect: the node's certificate is for geo.example: write this name in the URL".to_owned(),
            ),
            (plain.url(), ann(WRONG), None, "user or password is wrong".to_owned()),
            (
                plain.url(),
                None,
                None,
                "this node accepts no anonymous callers: connect with user and password".to_owned(),
            ),
        ];
        let closed = format!(
            "cannot connect: the node closed the connection before it responded: if it uses TLS, write `{}`, with the \
             certificate of its authority (`ca`)",
            secure.url()
        );
        let mut said = vec![];
        for (url, credentials, ca, mut expected) in cases {
            let options = ConnectOptions { credentials, ca: ca.cloned() };
            let came = match Client::connect(url, &options).await {
                Ok(_) => "no error".to_owned(),
                Err(error) => error.chain(),
            };
            if url == secure_without_tls && came.contains("closed the connection") {
                // Whether the bytes of TLS are read before the end of the connection depends on the time they take.
                expected.clone_from(&closed);
            }
            said.push(Said { typed: url.to_owned(), expected: format!("node {url}: {expected}"), came });
        }
        assert_all(&said);
        Client::connect(secure.url(), &ConnectOptions { credentials: ann(PASSWORD), ca: Some(cert) }).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_logs_once_that_a_peer_refuses_it() {
    within(120, async {
        let folder = tempfile::tempdir().unwrap();
        let owner = node(&folder.path().join("owner"), json!({}));
        let peer = json!({ "url": owner.url(), "user": "ann", "password": WRONG });
        let gateway = Node::start(
            &folder.path().join("gateway"),
            json!({ "peers": [peer], "refresh_interval": "500ms", "log": "info" }),
        );
        let refusals = || gateway.log().lines().filter(|line| line.contains("node refuses this node")).count();
        until("the gateway logs the refusal", SOON, async || refusals() > 0).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let log = gateway.log();
        assert_eq!(refusals(), 1, "{log}");
        assert!(log.contains("user or password is wrong") && !log.contains(WRONG), "{log}");
    })
    .await;
}
