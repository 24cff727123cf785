//! Derived ports, which are queries over other ports of their domain: the same rows in every way, the query that stays
//! with its owner, ports that close and open with their inputs, and queries that change while the node runs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int64Array, StringArray};
use portolan_engine::{ErrorKind, Principal};
use portolan_tests::forced::{FORCED, Forced};
use portolan_tests::mesh::{Mesh, until, within};
use portolan_tests::node::{Node, checked, program, signal};
use portolan_tests::products::{DOMAIN, PortFile, load_error, write_domain};
use portolan_tests::random_queries::{Outcome, REPEAT, REPEATED, random_query};
use portolan_tests::rows::{assert_says, count, failure, text};
use portolan_tests::ways::{self, Ways, assert_lines, table, write_parquet};
use serde_json::{Value, json};

#[cfg(unix)]
use crate::reload::{can_log_in, login, reload, user};

const SOON: Duration = Duration::from_secs(60);

/// An aggregate over a join of two ports.
const TOTALS: &str = "SELECT c.region, count(*) AS orders, sum(o.amount) AS total FROM samples.orders AS o \
                      JOIN lab.samples.customers AS c ON o.customer = c.id GROUP BY c.region";
const COLUMNS_OF_TOTALS: &[(&str, &str)] = &[("region", "string"), ("orders", "integer"), ("total", "number")];

/// Queries with their rows.
const ROWS: &[(&str, &[&str])] = &[
    ("SELECT region, orders, total FROM lab.samples.totals", &["north|3|37", "south|1|5"]),
    (
        "SELECT region, orders, total FROM (SELECT c.region, count(*) AS orders, sum(o.amount) AS total \
         FROM lab.samples.orders AS o JOIN lab.samples.customers AS c ON o.customer = c.id GROUP BY c.region) AS t",
        &["north|3|37", "south|1|5"],
    ),
    ("SELECT total FROM lab.samples.totals WHERE region = 'south'", &["5"]),
    ("SELECT region FROM lab.samples.totals ORDER BY total DESC LIMIT 1", &["north"]),
    ("SELECT sum(total) FROM lab.samples.totals HAVING count(*) > 1", &["42"]),
    ("SELECT a.region FROM lab.samples.totals AS a JOIN lab.samples.totals AS b ON a.total < b.total", &["south"]),
    ("SELECT number, price FROM lab.samples.plain WHERE number > 3", &["4|7.0", "5|100.0"]),
    ("SELECT count(*) FROM lab.samples.plain WHERE number NOT IN (SELECT customer FROM lab.samples.orders)", &["2"]),
    ("SELECT region FROM lab.samples.large", &["north"]),
    (JOIN, &["north|NO|37", "south|SU|5"]),
    (
        "SELECT g.country FROM geo.samples.regions AS g LEFT JOIN lab.samples.totals AS t ON g.region = t.region \
         WHERE t.total IS NULL",
        &["WE"],
    ),
];

/// A join of a derived port with a port of another domain.
const JOIN: &str = "SELECT t.region, g.country, t.total FROM lab.samples.totals AS t \
                    JOIN geo.samples.regions AS g ON t.region = g.region";

fn write_customers(home: &Path) -> PathBuf {
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    let regions: ArrayRef = Arc::new(StringArray::from(vec!["north", "south", "north"]));
    let file = home.join("customers.parquet");
    write_parquet(&file, &table(vec![("id", ids), ("region", regions)]));
    file
}

/// Writes the descriptors of the domain `lab`, with these queries of two of its ports.
fn write_lab(home: &Path, totals: &str, large: &str) {
    let integers = [("id", "integer"), ("customer", "integer"), ("amount", "integer")];
    let plain = "SELECT id AS number, CAST(amount AS DOUBLE) AS price FROM samples.orders";
    let people = "SELECT id AS person, upper(region) AS area FROM samples.customers";
    let ports = [
        PortFile::local("orders", &home.join("orders.csv"), "csv", &integers),
        PortFile::local(
            "customers",
            &home.join("customers.parquet"),
            "parquet",
            &[("id", "integer"), ("region", "string")],
        ),
        PortFile::derived("totals", totals, COLUMNS_OF_TOTALS),
        PortFile::derived("large", large, &[("region", "string")]),
        PortFile::derived("plain", plain, &[("number", "integer"), ("price", "number")]),
        PortFile::derived("people", people, &[("person", "integer"), ("area", "string")]),
    ];
    write_domain(DOMAIN, home, &ports);
}

const LARGE: &str = "SELECT region FROM samples.totals WHERE total > 10";

/// Writes the data and the descriptors of two domains below a folder. Returns their homes.
fn write(folder: &Path) -> [(&'static str, PathBuf); 2] {
    let [lab, geo] = [DOMAIN, "geo"].map(|domain| folder.join(domain));
    for home in [&lab, &geo] {
        fs::create_dir_all(home).unwrap();
    }
    fs::write(lab.join("orders.csv"), "id,customer,amount\n1,1,10\n2,1,20\n3,2,5\n4,3,7\n5,9,100\n").unwrap();
    write_customers(&lab);
    write_lab(&lab, TOTALS, LARGE);
    let regions = geo.join("regions.csv");
    fs::write(&regions, "region,country\nnorth,NO\nsouth,SU\nwest,WE\n").unwrap();
    let columns = [("region", "string"), ("country", "string")];
    write_domain("geo", &geo, &[PortFile::local("regions", &regions, "csv", &columns)]);
    [(DOMAIN, lab), ("geo", geo)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_derived_port_has_the_rows_of_its_query_in_every_way() {
    let folder = tempfile::tempdir().unwrap();
    let homes = write(folder.path()).map(|(domain, home)| (domain, home.join("products")));
    for ways in [Ways::start(&homes).await.unwrap(), Ways::start_behind_databases(&homes).await.unwrap()] {
        for (sql, rows) in ROWS {
            ways.gives(sql, rows).await;
        }
        // At its owner, no part of the query moves to another node.
        for Forced { name, settings } in FORCED {
            let session = ways.node(DOMAIN).session(Principal::anonymous());
            for (setting, value) in *settings {
                ways::rows(&session, &format!("SET {setting} = {value}")).await.unwrap();
            }
            let (_, batches) = ways::rows(&session, JOIN).await.unwrap();
            assert_lines(name, JOIN, &batches, &["north|NO|37", "south|SU|5"]);
        }
    }
}

/// Starts a mesh of the two domains.
async fn mesh(folder: tempfile::TempDir, homes: [(&'static str, PathBuf); 2]) -> Mesh {
    let config = json!({ "statistics_interval": "300ms" });
    let homes = homes.into_iter().map(|(domain, home)| (domain, home, config.clone())).collect();
    Mesh::of_homes(folder, homes, json!({})).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_query_stays_with_its_owner() {
    within(240, async {
        let folder = tempfile::tempdir().unwrap();
        let homes = write(folder.path());
        let mesh = mesh(folder, homes).await;
        let (gateway, owner) = (mesh.client().await, mesh.node(DOMAIN).client().await);
        let people = "SELECT area FROM lab.samples.people WHERE person = 2";
        for client in [&gateway, &owner] {
            assert!(text(client, people).await.contains("SOUTH"));
            let inputs = text(client, "SELECT derived_from FROM mesh.ports WHERE port = 'totals'").await;
            assert!(inputs.contains("lab.samples.customers") && inputs.contains("lab.samples.orders"), "{inputs}");
            let refused = client.prepare("INSERT INTO lab.samples.totals VALUES ('east', 1, 1)").await.unwrap_err();
            assert_says(&refused, ErrorKind::Unsupported, &["port `lab.samples.totals` accepts no rows"]);
        }
        // The filter reaches the file.
        let explained = text(&owner, &format!("EXPLAIN VERBOSE {people}")).await;
        assert!(explained.contains("samples.customers") && explained.contains("predicate=id@"), "{explained}");
        let analysed = text(&owner, &format!("EXPLAIN ANALYZE {people}")).await;
        assert!(analysed.contains("upper("), "{analysed}");
        // Other nodes see the port and the names of its operators.
        for statement in ["EXPLAIN VERBOSE", "EXPLAIN ANALYZE"] {
            let explained = text(&gateway, &format!("{statement} {people}")).await;
            assert!(explained.contains("lab.samples.people"), "{explained}");
            assert!(!explained.contains("customers") && !explained.contains("upper"), "{explained}");
        }
        assert!(text(&gateway, &format!("EXPLAIN ANALYZE {people}")).await.contains("DataSourceExec"));
    })
    .await;
}

const LOAD_ERRORS: &str = "SELECT count(*) FROM mesh.ports WHERE load_error IS NOT NULL";
const NORTH: &str = "SELECT orders FROM lab.samples.totals WHERE region = 'north'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_derived_port_closes_and_opens_with_its_inputs() {
    within(240, async {
        let folder = tempfile::tempdir().unwrap();
        let homes = write(folder.path());
        let lab = homes[0].1.clone();
        fs::remove_file(lab.join("customers.parquet")).unwrap();
        let mesh = mesh(folder, homes).await;
        let client = mesh.client().await;
        assert_eq!(count(&client, "SELECT count(*) FROM lab.samples.plain WHERE price > 6").await, Ok(4));
        for (port, input) in [("totals", "customers"), ("large", "totals")] {
            let says = format!("the query reads port lab.samples.{input}, which is not open");
            let closed = format!("port lab.samples.{port} is not open: {port}.odcs.yaml:");
            let error = failure(&client, &format!("SELECT region FROM lab.samples.{port}")).await;
            assert_says(&error, ErrorKind::SiteUnavailable, &[&closed, &says]);
            let shown = text(&client, &load_error(port)).await;
            assert!(shown.contains(&closed) && shown.contains(&says), "{shown}");
        }
        write_customers(&lab);
        until("the port opens", SOON, async || count(&client, NORTH).await == Ok(3)).await;
        until("the marks are gone", SOON, async || count(&client, LOAD_ERRORS).await == Ok(0)).await;
        assert!(text(&client, "SELECT region FROM lab.samples.large").await.contains("north"));
        assert_eq!(checked(&lab).await.0, Some(0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_changes_while_the_node_runs() {
    within(240, async {
        let folder = tempfile::tempdir().unwrap();
        let homes = write(folder.path());
        let lab = homes[0].1.clone();
        let mesh = mesh(folder, homes).await;
        let client = mesh.client().await;
        assert_eq!(count(&client, NORTH).await, Ok(3));
        let expensive = TOTALS.replace("GROUP BY", "WHERE o.amount > 7 GROUP BY");
        write_lab(&lab, &expensive, LARGE);
        until("the new query is in use", SOON, async || count(&client, NORTH).await == Ok(2)).await;

        // A column of another type: the last good query stays in use.
        write_lab(&lab, &expensive.replace("sum(o.amount)", "max(c.region)"), LARGE);
        until("the mark is there", SOON, async || count(&client, LOAD_ERRORS).await == Ok(1)).await;
        let shown = text(&client, &load_error("totals")).await;
        for part in
            ["the last good version is in use", "column `total` is ", "in the query, and `number` in the contract"]
        {
            assert!(shown.contains(part), "{shown}");
        }
        assert_eq!(count(&client, NORTH).await, Ok(2));
        let (code, errors) = checked(&lab).await;
        let place = "schema[0].customProperties[0].value: column `total` is ";
        assert!(code == Some(2) && errors.contains("totals.odcs.yaml:") && errors.contains(place), "{errors}");

        // A query that reads itself through another port.
        write_lab(&lab, "SELECT region, 1 AS orders, 2 AS total FROM samples.large", LARGE);
        until("both are marked", SOON, async || count(&client, LOAD_ERRORS).await == Ok(2)).await;
        let shown = text(&client, &load_error("totals")).await;
        let cycle = "the query reads its own port: lab.samples.totals → lab.samples.large → lab.samples.totals";
        assert!(shown.contains(cycle), "{shown}");
        assert_eq!(count(&client, NORTH).await, Ok(2));
        let (code, errors) = checked(&lab).await;
        assert!(code == Some(2) && errors.contains(cycle), "{errors}");

        write_lab(&lab, TOTALS, LARGE);
        until("the first query is in use", SOON, async || count(&client, NORTH).await == Ok(3)).await;
        until("the marks are gone", SOON, async || count(&client, LOAD_ERRORS).await == Ok(0)).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_reports_missing_files_values_and_queries_together() {
    within(240, async {
        let folder = tempfile::tempdir().unwrap();
        let lab = write(folder.path())[0].1.clone();
        fs::remove_file(lab.join("customers.parquet")).unwrap();
        fs::write(lab.join("orders.csv"), "id,customer,amount\n1,1,ten\n").unwrap();
        write_lab(&lab, TOTALS, "SELECT nothing AS region FROM samples.orders");
        let config = json!({ "domain": DOMAIN, "listen": "127.0.0.1:0", "sources": { "files": { "root": "/" } } });
        fs::write(lab.join("node.yaml"), config.to_string()).unwrap();
        let (code, errors) = checked(&lab).await;
        assert_eq!(code, Some(2), "{errors}");
        for part in [
            "customers.odcs.yaml:",
            "customers.parquet",
            "port lab.samples.orders: ",
            "line 2, column `amount`: ",
            "got `ten`",
            "large.odcs.yaml:",
            "the query cannot be planned: ",
            "the query reads port lab.samples.customers, which is not open",
        ] {
            assert!(errors.contains(part), "{part}: {errors}");
        }
        // Each fault is reported once, and not in the log too.
        assert_eq!(errors.matches("large.odcs.yaml:").count(), 1, "{errors}");
        assert!(!errors.contains("closed until"), "{errors}");
    })
    .await;
}

/// The number of ports with a query that takes long to plan, the columns of its lists, and the number of lists in one
/// another. Planning looks up each column among those of the list below, several times. So all queries together take
/// minutes, also in a release build.
const SLOW_PORTS: usize = 100;
const SLOW_COLUMNS: usize = 4_000;
const SLOW_LISTS: usize = 10;

/// Writes a domain with a port over data, and with so many ports whose queries take long to plan.
fn write_slow(home: &Path, slow_ports: usize) {
    fs::write(home.join("orders.csv"), "id\n1\n").unwrap();
    let columns: Vec<_> = (0..SLOW_COLUMNS).map(|column| format!("id c{column}")).collect();
    let list = format!("SELECT {} FROM samples.orders", columns.join(","));
    let lists = (0..SLOW_LISTS).fold(list, |below, level| format!("SELECT * FROM ({below}) AS q{level}"));
    let query = format!("SELECT c0 AS id FROM ({lists}) AS q");
    let mut ports = vec![PortFile::local("orders", &home.join("orders.csv"), "csv", &[("id", "integer")])];
    let slow = (0..slow_ports).map(|port| PortFile::derived(format!("p{port}").leak(), &query, &[("id", "integer")]));
    ports.extend(slow);
    write_domain(DOMAIN, home, &ports);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_that_take_long_to_plan_delay_no_change_of_users() {
    within(240, async {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join(DOMAIN);
        fs::create_dir_all(&home).unwrap();
        write_slow(&home, 0);
        let with_users = |users: &[&Value]| json!({ "domain": DOMAIN, "users": users });
        let (ann, bob) = (user("ann"), user("bob"));
        let node = Node::start(&home, with_users(&[&ann]));
        assert!(can_log_in(&node, "ann").await);
        write_slow(&home, SLOW_PORTS);
        // The node sees the change after a few seconds, and plans for longer.
        tokio::time::sleep(Duration::from_secs(8)).await;
        reload(&node, &with_users(&[&bob]));
        until("the new user can log in", SOON, async || can_log_in(&node, "bob").await).await;
        assert!(!can_log_in(&node, "ann").await);
        // The node still plans: it serves only the port of the first descriptors.
        let client = node.client_with(&login("bob")).await;
        assert_eq!(count(&client, "SELECT count(*) FROM mesh.ports").await, Ok(1));
    })
    .await;
}

#[test]
fn a_signal_ends_a_node_that_still_plans_queries() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    write_slow(home, SLOW_PORTS);
    fs::write(home.join("node.yaml"), format!("domain: {DOMAIN}\nlisten: 127.0.0.1:0\n")).unwrap();
    let mut serve = Command::new(program());
    serve.arg("serve").arg("--config").arg(home.join("node.yaml"));
    serve.stdout(fs::File::create(home.join("out")).unwrap()).stderr(Stdio::null());
    let mut node = serve.spawn().unwrap();
    std::thread::sleep(Duration::from_secs(5));
    assert!(node.try_wait().unwrap().is_none(), "the node ends by itself");
    signal(node.id(), "TERM");
    let end = Instant::now() + Duration::from_secs(30);
    while node.try_wait().unwrap().is_none() {
        if Instant::now() > end {
            signal(node.id(), "KILL");
            node.wait().unwrap();
            panic!("the node does not end");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    // A node that has planned the queries prints its address.
    assert_eq!(fs::read_to_string(home.join("out")).unwrap(), "");
}

/// The seed of the random queries, and the number of those that read the repeated port.
const SEED: u64 = 20;
const QUERIES: usize = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_queries_have_the_same_rows_over_a_derived_port() {
    let (_folder, trial) = crate::random::trial().await;
    let queries = (0..).map(|index| (index, random_query(SEED, index)));
    for (index, query) in queries.filter(|(_, query)| query.sql.contains(REPEATED)).take(QUERIES) {
        let derived = query.sql.replace(REPEATED, REPEAT);
        let forced = &FORCED[index as usize % FORCED.len()];
        let outcomes =
            [trial.run(&derived, &query.order, forced).await, trial.same(&query.sql, &derived, &query.order).await];
        for outcome in outcomes {
            if let Outcome::Different(how) = outcome {
                panic!("seed {SEED}, index {index}: {how}\n{derived}");
            }
        }
    }
}
