//! Random policies, principals and statements: a principal observes the same, word for word, if there are other hidden rows,
//! also in another number: rows, errors, plans, counters, labels and the sizes of batches. The rows are those that the
//! principal would get from the visible rows alone.

use std::fmt::Write;
use std::sync::atomic::{AtomicUsize, Ordering};

use portolan_engine::{ErrorKind, Principal};
use portolan_tests::forced::FORCED;
use portolan_tests::governance::measures::without_measures;
use portolan_tests::governance::outcomes::Outcome;
use portolan_tests::governance::owners::{LocalMesh, ResultDetail, domain};
use portolan_tests::governance::policies::{NAME, RandomPolicies};
use portolan_tests::governance::statements::{PEOPLE, RandomStatement, orders, statement};
use portolan_tests::governance::swapped::{COLUMNS, Row, are_balanced, batches, rows, swapped, visible};
use rand::SeedableRng;
use rand::rngs::StdRng;

const CASES: u64 = 200;
const SEED: u64 = 20;
/// The statements for the same policies.
const STATEMENTS: u64 = 10;
/// The attempts to find policies that keep a part of each batch.
const ATTEMPTS: usize = 100_000;
/// The number of differences after which a run stops.
const MAX_DIFFERENCES: usize = 10;
/// The number of cases after which a run reports its progress.
const PROGRESS: u64 = 500;
/// The factor that spreads the numbers of the cases of one seed.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}: expected an integer, got `{text}`")))
}

/// The meshes of some policies: governed, governed with other hidden rows, and without hidden rows.
struct Meshes {
    policies: RandomPolicies,
    governed: LocalMesh,
    changed: LocalMesh,
    absent: LocalMesh,
    visible_rows: usize,
    /// True if every plan has one partition. Otherwise the first of several errors depends on threads.
    is_serial: bool,
    /// The pairs of EXPLAIN ANALYZE that were compared.
    compared_counters: AtomicUsize,
}

impl Meshes {
    async fn start(seed: u64, number: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed.wrapping_add(number.wrapping_mul(SPREAD)));
        let all = rows(&mut random);
        let mut candidates = (0..ATTEMPTS).map(|_| RandomPolicies::new(&mut random));
        let policies = candidates.find(|policies| are_balanced(&all, policies)).expect("balanced policies");
        let seen = visible(&all, &policies);
        let text = policies.text(PEOPLE);
        let is_serial = number.is_multiple_of(2);
        let threads = if is_serial { 1 } else { 3 };
        let start = async |rows: &[Vec<Row>], text: &str| {
            let hr = domain("hr", &[("people", batches(rows))], text);
            LocalMesh::start(hr, domain("shop", &[("orders", orders())], ""), threads).await
        };
        let governed = start(&all, &text).await;
        let changed = start(&swapped(&all, &policies, &mut random), &text).await;
        let absent = start(&seen, "").await;
        let visible_rows = seen.iter().map(Vec::len).sum();
        let compared_counters = AtomicUsize::new(0);
        Self { policies, governed, changed, absent, visible_rows, is_serial, compared_counters }
    }

    /// Returns how the meshes differ for a statement.
    async fn difference(&self, index: u64, statement: &RandomStatement) -> Option<String> {
        let principal = Principal::new(NAME).with_groups(["analysts"]);
        let sql = &statement.sql;
        let forced: Vec<String> = FORCED[index as usize % FORCED.len()].statements().collect();
        let ways: [(bool, Vec<String>); 3] = [(true, vec![]), (false, vec![]), (false, forced)];
        for (at_owner, settings) in &ways {
            let run = async |mesh: &LocalMesh, sql: &str| mesh.observed(*at_owner, &principal, settings, sql).await;
            let place = format!("at the owner: {at_owner}, {settings:?}");
            let in_detail =
                async |mesh: &LocalMesh| mesh.observed_in_detail(*at_owner, &principal, settings, sql).await;
            let ((governed, detail), (changed, other)) =
                (in_detail(&self.governed).await, in_detail(&self.changed).await);
            if self.in_words(&governed) != self.in_words(&changed) {
                return Some(format!("{place}: hidden rows show\n{}\n\n{}", governed.text(), changed.text()));
            }
            if self.is_serial
                && let (Some(detail), Some(other)) = (detail, other)
                && let Some(how) = difference_in_detail(&detail, &other)
            {
                return Some(format!("{place}: {how}"));
            }
            let absent = run(&self.absent, sql).await;
            let is_comparable = statement.fails_alike || (governed.rows().is_some() && absent.rows().is_some());
            if is_comparable && governed.clone().without_words() != absent.clone().without_words() {
                let (governed, absent) = (governed.text(), absent.text());
                return Some(format!("{place}: not the visible rows\n{governed}\n\nvisible rows alone:\n{absent}"));
            }
            for form in ["EXPLAIN", "EXPLAIN VERBOSE"] {
                let plan = format!("{form} {sql}");
                let (governed, changed) = (run(&self.governed, &plan).await, run(&self.changed, &plan).await);
                if governed != changed {
                    return Some(format!("{place}: {form}\n{}\n\n{}", governed.text(), changed.text()));
                }
            }
            if self.is_serial {
                let plan = format!("EXPLAIN ANALYZE {sql}");
                let measured = async |mesh: &LocalMesh| run(mesh, &plan).await.map_text(without_measures);
                let (governed, changed) = (measured(&self.governed).await, measured(&self.changed).await);
                // What a fragment has done depends on when its reader stops it.
                let is_stopped = [&governed, &changed].iter().any(|outcome| outcome.text().contains("stopped"));
                self.compared_counters.fetch_add(usize::from(!is_stopped), Ordering::Relaxed);
                if !is_stopped && governed != changed {
                    return Some(format!("{place}: counters\n{}\n\n{}", governed.text(), changed.text()));
                }
            }
        }
        None
    }

    fn in_words(&self, outcome: &Outcome) -> Outcome {
        if self.is_serial { outcome.clone() } else { outcome.clone().without_words() }
    }

    /// Asserts that the policies mean what the test computes.
    async fn assert_meaning(&self, principal: &Principal) {
        let count = format!("SELECT count(*) FROM {PEOPLE}");
        let text = self.policies.text(PEOPLE);
        for at_owner in [true, false] {
            let outcome = self.governed.observed(at_owner, principal, &[], &count).await;
            let Outcome::Rows(_, rows) = &outcome else { panic!("{}\n{text}", outcome.text()) };
            assert_eq!(*rows, [self.visible_rows.to_string()], "{text}");
            for hidden in (0..COLUMNS.len()).filter(|at| !self.policies.readable().contains(at)) {
                let sql = format!("SELECT id FROM {PEOPLE} WHERE {} IS NULL", COLUMNS[hidden].0);
                let outcome = self.governed.observed(at_owner, principal, &[], &sql).await;
                assert!(
                    matches!(outcome, Outcome::Failed(ErrorKind::PermissionDenied, _)),
                    "{sql}: {outcome:?}\n{text}"
                );
            }
        }
    }
}

/// Returns how two results differ in their labels, batches and edges.
fn difference_in_detail(one: &ResultDetail, other: &ResultDetail) -> Option<String> {
    if one.label != other.label {
        return Some(format!("label and batches\n{}\n\n{}", one.label, other.label));
    }
    let (edges, others) = (one.edges.as_ref()?, other.edges.as_ref()?);
    (edges != others).then(|| format!("edges\n{edges:?}\n\n{others:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_depends_on_hidden_rows() {
    let seed = variable("PORTOLAN_GOVERNED_SEED").unwrap_or(SEED);
    let alone = variable("PORTOLAN_GOVERNED_CASE");
    let cases = alone.map_or(0..variable("PORTOLAN_GOVERNED_CASES").unwrap_or(CASES), |case| case..case + 1);
    let principal = Principal::new(NAME).with_groups(["analysts"]);
    let (mut differences, mut with_rows, mut failed, mut compared_counters) = (vec![], 0_usize, 0_usize, 0_usize);
    let mut meshes: Option<(u64, Meshes)> = None;
    for case in cases.clone() {
        let number = case / STATEMENTS;
        let of_case = match meshes.take() {
            Some((same, meshes)) if same == number => meshes,
            _ => {
                let started = Meshes::start(seed, number).await;
                started.assert_meaning(&principal).await;
                started
            }
        };
        let mut random = StdRng::seed_from_u64(seed.wrapping_mul(SPREAD).wrapping_add(case));
        let statement = statement(&mut random, &of_case.policies.readable());
        if alone.is_some() {
            println!("{}\n{}", of_case.policies.text(PEOPLE), statement.sql);
        }
        match of_case.governed.observed(true, &principal, &[], &statement.sql).await.rows() {
            Some(_) => with_rows += 1,
            None => failed += 1,
        }
        if let Some(how) = of_case.difference(case, &statement).await {
            let mut text = format!("seed {seed}, case {case}: {how}\n{}\n", statement.sql);
            // Writing to a string does not fail.
            let _ = write!(text, "{}", of_case.policies.text(PEOPLE));
            println!("{text}\n");
            differences.push(text);
        }
        compared_counters += of_case.compared_counters.swap(0, Ordering::Relaxed);
        meshes = Some((number, of_case));
        let done = case - cases.start + 1;
        if done.is_multiple_of(PROGRESS) {
            eprintln!("{done} of {} cases, {} differences", cases.end - cases.start, differences.len());
        }
        if differences.len() >= MAX_DIFFERENCES {
            break;
        }
    }
    println!("{with_rows} statements returned rows, {failed} failed, {compared_counters} pairs of counters compared");
    assert!(differences.is_empty(), "{} differences, first:\n{}", differences.len(), differences[0]);
    if cases.end - cases.start >= CASES {
        assert!(with_rows > failed && failed > 0, "{with_rows} and {failed}");
        // Half of the meshes are serial, and each statement runs in three ways.
        assert!(compared_counters > CASES as usize, "{compared_counters}");
    }
}
