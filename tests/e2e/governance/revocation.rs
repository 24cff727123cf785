//! Revocation: a policy that changes while sessions run holds for the next execution of each statement, also of one that
//! was prepared before, and ends the rows of earlier ones: running streams, planned statements and kept results. The node
//! sees a changed file within seconds.

use std::fs;
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt};
use portolan_engine::ErrorKind;
use portolan_tests::governance::meshes::{
    ADMIN, ANALYST, GovernedMesh, OWNER, SOON, login, policies, start_owner, users,
};
use portolan_tests::governance::outcomes::{FlightSession, Outcome, observed};
use portolan_tests::governance::people::{HiddenRows, PEOPLE, port};
use portolan_tests::mesh::{until, within};
use portolan_tests::rows::count;
use serde_json::{Value, json};

#[cfg(unix)]
use crate::reload::reload;

/// The time after which a changed policy must hold.
const DELAY: Duration = Duration::from_secs(10);
const COUNT: &str = "SELECT count(*) FROM hr.samples.people";

/// Waits until the outcome of a statement is the expected one, at most for the delay.
async fn until_soon(what: &str, mut is_expected: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !is_expected().await {
        assert!(started.elapsed() < DELAY, "{what}: not within {} s", DELAY.as_secs());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn is_denied(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Failed(ErrorKind::PermissionDenied, _))
}

fn counts(outcome: &Outcome, expected: i64) -> bool {
    matches!(outcome, Outcome::Rows(_, rows) if *rows == [expected.to_string()])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_removed_policy_holds_for_prepared_statements() {
    within(300, async {
        let mesh = GovernedMesh::start(HiddenRows::AsTheyAre).await;
        let visible = port("people").visible_rows();
        let mut prepared = vec![];
        for node in [mesh.hr(), mesh.gateway()] {
            let mut session = FlightSession::login(node, ANALYST, &[]).await;
            let mut statement = session.prepare(COUNT).await.unwrap();
            assert!(counts(&session.run(COUNT, &mut statement).await, visible));
            prepared.push((session, statement));
        }
        // A statement that is planned, and whose rows no client has fetched yet.
        let planned = login(mesh.gateway(), ANALYST).await;
        let statement = planned.prepare("SELECT id, note FROM hr.samples.people").await.unwrap();
        let file = mesh.policies().join("people.cedar");
        let text = fs::read_to_string(&file).unwrap();

        fs::remove_file(&file).unwrap();
        for (session, statement) in &mut prepared {
            until_soon("the policy is gone", async || is_denied(&session.run(COUNT, statement).await)).await;
            assert!(is_denied(&session.run(COUNT, statement).await), "it stays refused");
        }
        let rows = planned.rows(&statement).try_collect::<Vec<_>>().await;
        let error = rows.expect_err("the rows of a statement that was planned before");
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{}", error.chain());
        // Others keep what they may read.
        assert_eq!(count(&login(mesh.gateway(), OWNER).await, COUNT).await, Ok(PEOPLE));

        // Another condition: the rows that were hidden.
        fs::write(&file, text.replace("clearance == 1", "clearance == 3")).unwrap();
        for (session, statement) in &mut prepared {
            let is_changed = async || counts(&session.run(COUNT, statement).await, PEOPLE - visible);
            until_soon("the changed policy holds", is_changed).await;
        }
        fs::write(&file, &text).unwrap();
        for (session, statement) in &mut prepared {
            let is_back = async || counts(&session.run(COUNT, statement).await, visible);
            until_soon("the first policy holds", is_back).await;
        }

        // A forbid beats every permit.
        fs::write(
            mesh.policies().join("no.cedar"),
            format!("forbid(principal == User::\"{ANALYST}\", action == Action::\"read\", resource);"),
        )
        .unwrap();
        for (session, statement) in &mut prepared {
            until_soon("the forbid holds", async || is_denied(&session.run(COUNT, statement).await)).await;
        }
    })
    .await;
}

/// Pairs of people. The owner sees all of them, and a client that reads slowly holds none but the first ones.
const PAIRS: &str =
    "SELECT p.note, q.note AS other FROM hr.samples.people p JOIN hr.samples.people q ON q.bucket = p.bucket";
/// Pairs with orders: more than all buffers on the way hold.
const MANY: &str = "SELECT p.note, q.note AS other, o.tag FROM hr.samples.people p \
                    JOIN shop.samples.orders o ON o.amount = p.bucket JOIN hr.samples.people q ON q.bucket = p.bucket";
const NOTES: &str = "SELECT id, note FROM hr.samples.people";

/// A running stream ends in each way of running it, although its client does not read. Others go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_removed_policy_ends_streams_and_results() {
    within(300, async {
        let mesh = GovernedMesh::start(HiddenRows::AsTheyAre).await;
        let visible = Some(port("people").visible_rows() as usize);
        let mut streams = vec![];
        for path in mesh.paths(ANALYST).await {
            let statement = path.client.prepare(MANY).await.unwrap();
            let mut rows = path.client.rows(&statement);
            assert!(rows.next().await.unwrap().unwrap().num_rows() > 0, "{}", path.name);
            streams.push((path, rows));
        }
        let owner = login(mesh.hr(), OWNER).await;
        let pairs = owner.prepare(PAIRS).await.unwrap();
        let mut pairs = owner.rows(&pairs);
        let mut paired = pairs.next().await.unwrap().unwrap().num_rows();
        let mut results = vec![];
        for node in [mesh.hr(), mesh.gateway()] {
            // A result that the node keeps, and has given out once.
            let mut session = FlightSession::login(node, ANALYST, &[("portolan.endpoints", "2")]).await;
            let info = session.info(NOTES).await.unwrap();
            assert_eq!(session.fetched(NOTES, info.clone()).await.rows(), visible);
            results.push((session, info));
            // A statement that started when it was planned.
            let mut session = FlightSession::login(node, ANALYST, &[]).await;
            let info = session.info(NOTES).await.unwrap();
            results.push((session, info));
        }

        fs::remove_file(mesh.policies().join("people.cedar")).unwrap();
        let running = format!("SELECT count(*) FROM mesh.queries WHERE principal = '{ANALYST}'");
        for node in [mesh.hr(), mesh.shop(), mesh.gateway()] {
            let admin = login(node, ADMIN).await;
            let started = Instant::now();
            while count(&admin, &running).await != Ok(0) {
                let of_ann = format!("SELECT * FROM mesh.queries WHERE principal = '{ANALYST}'");
                let queries = observed(&admin, &of_ann).await;
                assert!(started.elapsed() < DELAY, "the queries have not ended at {}: {}", node.url(), queries.text());
            }
        }
        for (path, rows) in streams {
            let error = rows.try_for_each(async |_| Ok(())).await.expect_err(path.name);
            assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{}: {}", path.name, error.chain());
        }
        for (session, info) in &mut results {
            until_soon("the result is gone", async || is_denied(&session.fetched(NOTES, info.clone()).await)).await;
            assert!(is_denied(&session.fetched(NOTES, info.clone()).await), "it stays refused");
        }
        while let Some(batch) = pairs.next().await {
            paired += batch.unwrap().num_rows();
        }
        // Each of the 100 buckets has the same number of people.
        assert_eq!(paired as i64, PEOPLE * (PEOPLE / 100), "the owner reads on");
    })
    .await;
}

/// More pairs than all buffers on the way hold.
const TRIPLES: &str = "SELECT p.note, q.note AS other, r.note AS third FROM hr.samples.people p \
                       JOIN hr.samples.people q ON q.bucket = p.bucket JOIN hr.samples.people r ON r.bucket = p.bucket";

/// A user who leaves a group in the config loses the sessions of before, with all that they hold.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_user_who_leaves_a_group_loses_streams_statements_and_results() {
    within(300, async {
        let folder = tempfile::tempdir().unwrap();
        let node = start_owner(folder.path(), &policies());
        let visible = port("people").visible_rows();
        let mut session = FlightSession::login(&node, ANALYST, &[("portolan.endpoints", "2")]).await;
        let mut statement = session.prepare(COUNT).await.unwrap();
        assert!(counts(&session.run(COUNT, &mut statement).await, visible));
        let kept = session.info(NOTES).await.unwrap();
        assert_eq!(session.fetched(NOTES, kept.clone()).await.rows(), Some(visible as usize));
        let reader = login(&node, ANALYST).await;
        let triples = reader.prepare(TRIPLES).await.unwrap();
        let mut triples = reader.rows(&triples);
        assert!(triples.next().await.unwrap().unwrap().num_rows() > 0);

        let (all, config) = (users(), |users: &Value| json!({ "domain": "hr", "users": users, "cpu_threads": 2 }));
        let mut without_group = all.clone();
        let analyst = without_group.as_array_mut().unwrap().iter_mut().find(|user| user["name"] == ANALYST).unwrap();
        analyst["groups"] = json!([]);
        reload(&node, &config(&without_group));
        let is_closed = |outcome: &Outcome| matches!(outcome, Outcome::Failed(ErrorKind::Unauthenticated, _));
        until("the session ends", SOON, async || is_closed(&session.run(COUNT, &mut statement).await)).await;
        let of_kept = session.fetched(NOTES, kept).await;
        assert!(is_closed(&of_kept), "{}", of_kept.text());
        let error = triples.try_for_each(async |_| Ok(())).await.expect_err("the stream of before");
        assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{}", error.chain());
        let without = login(&node, ANALYST).await;
        let denied = observed(&without, COUNT).await;
        assert!(is_denied(&denied), "{}", denied.text());
        assert_eq!(count(&login(&node, OWNER).await, COUNT).await, Ok(PEOPLE));

        reload(&node, &config(&all));
        until("that session ends", SOON, async || is_closed(&observed(&without, COUNT).await)).await;
        assert_eq!(count(&login(&node, ANALYST).await, COUNT).await, Ok(visible));
    })
    .await;
}

/// Policies with faults change nothing: the last good ones stay in effect, and the log has the fault.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn faulty_policies_keep_the_last_good_ones() {
    within(300, async {
        let mesh = GovernedMesh::start(HiddenRows::AsTheyAre).await;
        let client = login(mesh.hr(), ANALYST).await;
        let visible = port("people").visible_rows();
        assert_eq!(count(&client, COUNT).await, Ok(visible));
        fs::write(mesh.policies().join("people.cedar"), "permit(").unwrap();
        until_soon("the fault is logged", async || {
            mesh.hr().log().contains("the policies before those with errors stay in effect")
        })
        .await;
        assert_eq!(count(&client, COUNT).await, Ok(visible));
        assert_eq!(count(&login(mesh.gateway(), OWNER).await, COUNT).await, Ok(PEOPLE));
    })
    .await;
}
