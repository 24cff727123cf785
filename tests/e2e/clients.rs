//! Unmodified third-party clients. Programs report which features each client has with our nodes, and the book has a
//! table of them. One test runs all programs, so that the table is complete whatever order the tests run in.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use futures::StreamExt;
use portolan_tests::java;
use portolan_tests::mesh::within;

mod programs;
mod servers;
mod table;

use servers::Servers;
use table::Client;

/// The number of clients that run at once.
const AT_A_TIME: usize = 2;

/// Every program finds the expected features, and the book's table is the same. `PORTOLAN_UPDATE=1` writes the table
/// again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_match_their_table() {
    within(1800, async {
        let programs = tokio::task::spawn_blocking(programs::all).await.unwrap();
        let servers = Arc::new(Servers::start().await);
        let is_whole = programs.iter().all(Option::is_some) && java::are_the_usual();
        let runs = programs.into_iter().flatten().enumerate().map(|(nth, program)| {
            let servers = servers.clone();
            async move { tokio::task::spawn_blocking(move || program.run(&servers, nth)).await.unwrap() }
        });
        let outcomes: Vec<Result<Client, String>> = futures::stream::iter(runs).buffered(AT_A_TIME).collect().await;
        let failures: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().err().cloned()).collect();
        let log = servers.log();
        assert!(failures.is_empty(), "{}", failures.join("\n"));
        servers.assert_no_secret(&log);
        let clients: Vec<_> = outcomes.into_iter().flatten().collect();
        if is_whole {
            table::compare(&clients);
        } else {
            eprintln!("SKIPPED: not every usual client ran, so the book's table of clients is NOT checked");
        }
    })
    .await;
}
