//! A database that is down when its node starts: the other ports serve, the catalog shows the reason, and the port opens
//! with the database.

use std::time::Duration;

use portolan_engine::ErrorKind;
use portolan_testbed::mesh::free_addresses;
use portolan_testbed::postgres::PostgresServer;
use portolan_tests::database_ports::{DatabasePort, config};
use portolan_tests::mesh::{Mesh, until, within};
use portolan_tests::node::checked;
use portolan_tests::products::{DOMAIN, PortFile, contract, load_error, write_contracts};
use portolan_tests::rows::{assert_says, count, failure, text};
use portolan_tests::servers::{SERVER, TestDatabase, postgres};
use serde_json::json;

use super::faults::{ITEMS, columns};

const SOON: Duration = Duration::from_secs(60);
const EVENTS: &str = "SELECT count(*) FROM lab.samples.events";
const ITEMS_SUM: &str = "SELECT sum(qty) FROM lab.samples.items";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_down_blocks_nothing_and_recovers() {
    within(240, async {
        if PostgresServer::programs().is_none() {
            // Says that it is missing.
            assert!(postgres::server().await.is_none());
            return;
        }
        let port: u16 = free_addresses(1).unwrap()[0].rsplit_once(':').unwrap().1.parse().unwrap();
        let server = postgres::start_at(port).await;
        let database = TestDatabase::in_postgres(&server, "down").await;
        let (contracts_server, source) = (database.server(), config(DOMAIN, &database, &json!({})));
        drop((database, server));

        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join(DOMAIN);
        std::fs::create_dir_all(&home).unwrap();
        std::fs::write(home.join("events.csv"), "id\n1\n2\n").unwrap();
        let events = PortFile::local("events", &home.join("events.csv"), "csv", &[("id", "integer")]);
        let items = DatabasePort::table("items", &columns(&["id", "kind", "qty"]));
        let contracts = [("events", contract(DOMAIN, &events)), ("items", items.contract(DOMAIN, &contracts_server))];
        write_contracts(DOMAIN, &home, &contracts);
        let more = json!({
            "open_timeout": "2s", "statistics_interval": "300ms",
            "sources": { SERVER: source["sources"][SERVER], "files": { "root": home } },
        });
        let mesh = Mesh::of_homes(folder, vec![(DOMAIN, home.clone(), more)], json!({})).await;
        let client = mesh.client().await;
        assert_eq!(count(&client, EVENTS).await, Ok(2));
        let says = ["port lab.samples.items is not open", "its source did not respond"];
        assert_says(&failure(&client, ITEMS_SUM).await, ErrorKind::SiteUnavailable, &says);
        let shown = text(&client, &load_error("items")).await;
        assert!(says.iter().all(|part| shown.contains(part)) && !shown.contains("127.0.0.1"), "{shown}");
        let (code, errors) = checked(&home).await;
        assert_eq!(code, Some(2), "{errors}");
        let address = format!("127.0.0.1:{port}");
        assert!(errors.contains("items.odcs.yaml") && errors.contains(&address), "{errors}");

        let server = postgres::start_at(port).await;
        let database = TestDatabase::in_postgres(&server, "down").await;
        database.execute(ITEMS).await;
        until("the port opens", SOON, async || count(&client, ITEMS_SUM).await == Ok(20)).await;
        assert_eq!(count(&client, EVENTS).await, Ok(2));

        // The database restarts while the port is open.
        drop((database, server));
        let error = failure(&client, ITEMS_SUM).await;
        assert_says(&error, ErrorKind::SiteUnavailable, &["lab"]);
        assert_eq!(count(&client, EVENTS).await, Ok(2));
        let server = postgres::start_at(port).await;
        let database = TestDatabase::in_postgres(&server, "down").await;
        database.execute(ITEMS).await;
        until("the port answers again", SOON, async || count(&client, ITEMS_SUM).await == Ok(20)).await;
        let log = mesh.node(DOMAIN).log();
        assert!(!log.contains(portolan_tests::servers::PASSWORD), "{log}");
    })
    .await;
}
