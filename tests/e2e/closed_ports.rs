//! Sources that do not respond, and paths that would block: the node starts, later descriptors are loaded, and a port
//! opens when its source responds.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use portolan_engine::ErrorKind;
use portolan_tests::mesh::{Mesh, until, within};
use portolan_tests::node::run;
use portolan_tests::products::{self, DOMAIN, PortFile};
use portolan_tests::recording_server::{Answer, RecordingServer};
use portolan_tests::rows::{assert_says, count, failure, text};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(60);
const EVENTS: &str = "SELECT count(*) FROM lab.samples.events WHERE id > 0";
const REMOTE: &str = "SELECT count(*) FROM lab.samples.remote WHERE id > 0";
const LOAD_ERRORS: &str = "SELECT count(*) FROM mesh.products WHERE load_error IS NOT NULL";

fn local(name: &'static str, path: &Path) -> PortFile {
    PortFile::local(name, path, "csv", &[("id", "integer")])
}

fn remote(server: &RecordingServer) -> PortFile {
    let location = format!("{}/x.csv", server.url());
    let server = json!({ "server": "web", "type": "custom", "location": location, "format": "csv" });
    PortFile { name: "remote", server, columns: vec![("id", "integer", false)] }
}

/// Changes the description of a port's schema object, which the port shows.
fn describe(contract: &Path, description: &str) {
    let mut document: Value = serde_json::from_str(&fs::read_to_string(contract).unwrap()).unwrap();
    document["schema"][0]["properties"][0]["description"] = description.into();
    fs::write(contract, document.to_string()).unwrap();
}

fn described(description: &str) -> String {
    format!("SELECT count(*) FROM mesh.columns WHERE description = '{description}'")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_respond_closes_its_port_and_blocks_nothing() {
    within(240, async {
        let server = RecordingServer::start(Answer::Silence).await;
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join(DOMAIN);
        fs::create_dir_all(&home).unwrap();
        fs::write(home.join("events.csv"), "id\n1\n2\n").unwrap();
        let contracts = products::write(&home, &[local("events", &home.join("events.csv")), remote(&server)]);
        let config = json!({
            "open_timeout": "1s", "statistics_interval": "200ms",
            "sources": { "web": { "http": { "allow_http": true, "hosts": [server.host()] } } },
        });
        let mesh = Mesh::of_homes(folder, vec![(DOMAIN, home.clone(), config)], json!({})).await;
        let client = mesh.client().await;
        assert_eq!(count(&client, EVENTS).await, Ok(2));
        // The gateway knows the port, with the types of the contract.
        let says = ["port lab.samples.remote is not open", "its source did not respond"];
        assert_says(&failure(&client, REMOTE).await, ErrorKind::SiteUnavailable, &says);
        let marked = text(&client, "SELECT load_error FROM mesh.products").await;
        assert!(says.iter().all(|part| marked.contains(part)) && !marked.contains(&server.host()), "{marked}");
        let log = mesh.node(DOMAIN).log();
        assert!(log.contains("lab.samples.remote") && log.contains("within 1s"), "{log}");

        // A check of the descriptors is strict.
        let file = home.join("node.yaml").display().to_string();
        let checked = tokio::task::spawn_blocking(move || run(&["serve", "--check", "--config", &file], &[]));
        let (code, _, errors) = checked.await.unwrap();
        assert_eq!(code, Some(2), "{errors}");
        assert!(errors.contains("remote.odcs.yaml") && errors.contains("did not respond within 1s"), "{errors}");

        describe(&contracts[0], "Counts up.");
        let new = described("Counts up.");
        until("the new version is known", SOON, async || count(&client, &new).await == Ok(1)).await;
        assert_says(&failure(&client, REMOTE).await, ErrorKind::SiteUnavailable, &says);

        server.answer(Answer::File("id\n7\n8\n9\n"));
        until("the port opens", SOON, async || count(&client, REMOTE).await == Ok(3)).await;
        until("the mark is gone", SOON, async || count(&client, LOAD_ERRORS).await == Ok(0)).await;
        assert_eq!(count(&client, EVENTS).await, Ok(2));
    })
    .await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_named_pipe_blocks_neither_the_start_nor_a_reload() {
    within(240, async {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join(DOMAIN);
        fs::create_dir_all(&home).unwrap();
        let (file, pipe) = (home.join("events.csv"), home.join("pipe.csv"));
        fs::write(&file, "id\n1\n2\n").unwrap();
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let contract = products::write(&home, &[local("events", &file)]).remove(0);
        let mesh = Mesh::of_homes(folder, vec![(DOMAIN, home.clone(), json!({}))], json!({})).await;
        let client = mesh.client().await;
        assert_eq!(count(&client, EVENTS).await, Ok(2));

        products::write(&home, &[local("events", &pipe)]);
        until("the error is known at the gateway", SOON, async || count(&client, LOAD_ERRORS).await == Ok(1)).await;
        let said = text(&client, "SELECT load_error FROM mesh.products").await;
        // The log alone names the location.
        assert!(said.contains("events.odcs.yaml") && !said.contains("pipe.csv"), "{said}");
        let log = mesh.node(DOMAIN).log();
        assert!(log.contains("pipe.csv is neither a regular file nor a folder"), "{log}");
        assert_eq!(count(&client, EVENTS).await, Ok(2));
        let config = home.join("node.yaml").display().to_string();
        let started = tokio::task::spawn_blocking(move || run(&["serve", "--config", &config], &[]));
        let (code, _, errors) = started.await.unwrap();
        assert_eq!(code, Some(2), "{errors}");
        assert!(errors.contains("neither a regular file nor a folder"), "{errors}");

        products::write(&home, &[local("events", &file)]);
        describe(&contract, "Counts up.");
        let new = described("Counts up.");
        until("the next version is known", SOON, async || count(&client, &new).await == Ok(1)).await;
        assert_eq!(count(&client, LOAD_ERRORS).await, Ok(0));
        assert_eq!(count(&client, EVENTS).await, Ok(2));
    })
    .await;
}
