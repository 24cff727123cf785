//! Probes of an attacker who may read a part of the rows: predicates that fail for a hidden row, aggregates that footers
//! could answer, comparisons with masked values, and joins. Each probe runs in every way, directly and prepared.

use portolan_engine::ErrorKind;
use portolan_tests::governance::meshes::{ANALYST, GovernedMesh, OWNER, QueryPath};
use portolan_tests::governance::outcomes::{FlightSession, Outcome, observed};
use portolan_tests::governance::people::{HiddenRows, PEOPLE, VISIBLE_COLUMNS, port};
use portolan_tests::mesh::within;
use portolan_tests::rows::count;

/// Statements that must return what they would return without the hidden rows. `{p}` is a governed port, `{o}` the
/// orders of the other domain.
const PROBES: &[&str] = &[
    // Errors in hidden rows.
    "SELECT count(*) FROM {p} WHERE 1 / (salary - 1003000) >= 0",
    "SELECT id FROM {p} WHERE 1 / (id - 1003) = 0 AND dept = 'a' AND id > 3990",
    "SELECT count(*) FROM {p} WHERE CAST(CASE WHEN id = 1003 THEN ssn || 'x' ELSE '1' END AS INT) = 1",
    "SELECT sum(CAST(CASE WHEN dept = 'b' THEN note ELSE '1' END AS INT)) FROM {p}",
    "SELECT count(*) FROM {p} WHERE COALESCE(1 / (salary - 1003000), 0) >= 0",
    "SELECT count(*) FROM {p} WHERE CASE WHEN salary = 1003000 THEN 1 / (id - 1003) = 0 ELSE true END",
    "SELECT count(*) FROM {p} WHERE NULLIF(1 / (salary - 1003000), 1) IS NULL",
    "SELECT count(TRY_CAST(note AS INT)), count(TRY_CAST(substr(ssn, 8) AS INT)) FROM {p}",
    "SELECT max(salary * CASE WHEN id = 1003 THEN 9223372036854775807 ELSE 1 END) FROM {p}",
    "SELECT sum(length(repeat(note, CASE WHEN id = 1003 THEN 100000000 ELSE 1 END))) FROM {p}",
    "SELECT count(*) FROM {p} WHERE regexp_like(note, CASE WHEN id = 1003 THEN '(' ELSE 'note' END)",
    "SELECT count(*) FROM {p} WHERE CAST(born AS TIMESTAMP) + INTERVAL '1' YEAR > TIMESTAMP '1980-01-01'",
    "SELECT count(*) FROM {p} WHERE make_date(CASE WHEN id = 1003 THEN 300000 ELSE 2000 END, 1, 1) > born",
    "SELECT max(CAST(born AS TIMESTAMP) + CASE WHEN id = 1003 THEN INTERVAL '999999' YEAR ELSE INTERVAL '1' YEAR END) \
     FROM {p}",
    // Errors in visible rows.
    "SELECT count(*) FROM {p} WHERE 1 / (salary - 1000000) >= 0",
    "SELECT CAST(ssn AS INT) FROM {p}",
    "SELECT sum(salary * 9000000000000000) FROM {p}",
    // Aggregates that the footers of files have.
    "SELECT count(*), count(salary), min(salary), max(salary), min(id), max(id), min(note), max(note) FROM {p}",
    "SELECT max(ssn), min(born), max(born), approx_distinct(salary) FROM {p}",
    "SELECT count(*) FROM {p} WHERE id = 1003 OR salary = 1003000",
    "SELECT count(*) FROM {p} WHERE id IN (1000, 1001, 1003) AND salary BETWEEN 1 AND 9000000",
    "SELECT DISTINCT dept FROM {p}",
    // Masked values.
    "SELECT id FROM {p} WHERE ssn = '000-30-1000'",
    "SELECT id FROM {p} WHERE ssn = 'nnn-nn-1000'",
    "SELECT count(*) FROM {p} WHERE ssn LIKE '00%' OR ssn BETWEEN '0' AND '9'",
    "SELECT count(*) FROM {p} WHERE born = DATE '1989-02-28' OR born > DATE '2019-01-02'",
    "SELECT ssn, born FROM {p} ORDER BY ssn, born, id LIMIT 3",
    "SELECT born, id FROM {p} ORDER BY born DESC, id LIMIT 5",
    "SELECT born, count(*), min(ssn) FROM {p} GROUP BY born",
    "SELECT substr(ssn, 1, 6), count(*) FROM {p} GROUP BY 1",
    "SELECT count(*) FROM {p} a JOIN {p} b ON a.ssn = b.ssn WHERE a.id < 500",
    "SELECT count(*), sum(amount) FROM {p} JOIN {o} ON ssn = tag",
    // Joins, and subqueries over hidden rows.
    "SELECT count(*), sum(amount), max(salary) FROM {p} JOIN {o} ON person = id",
    "SELECT count(*), count(id), sum(amount) FROM {o} LEFT JOIN {p} ON person = id",
    "SELECT count(*), count(number) FROM {p} FULL JOIN {o} ON person = id AND amount > 10",
    "SELECT count(*) FROM {o} WHERE person IN (SELECT id FROM {p} WHERE salary > 5000)",
    "SELECT count(*) FROM {o} WHERE person NOT IN (SELECT id FROM {p})",
    "SELECT count(*) FROM {o} WHERE NOT EXISTS (SELECT 1 FROM {p} WHERE id = person)",
    "SELECT count(*) FROM {p} WHERE EXISTS (SELECT 1 / (amount - 51) FROM {o} WHERE person = id AND amount < 40)",
    "SELECT count(*) FROM {o} WHERE EXISTS (SELECT 1 / (id - 1003) FROM {p})",
    "SELECT (SELECT id FROM {p} WHERE salary = 1003000)",
    "SELECT (SELECT id FROM {p} WHERE id IN (1000, 1003))",
    "SELECT (SELECT id FROM {p} WHERE id IN (1000, 1001))",
    "SELECT number FROM {o} WHERE amount > (SELECT count(*) FROM {p} WHERE id = person) + 47 AND number < 100",
    "SELECT id, rank() OVER (ORDER BY salary, id) FROM {p} WHERE id < 40",
    "SELECT id, salary FROM {p} WHERE id > 100 UNION ALL SELECT person, amount FROM {o} ORDER BY 1, 2 LIMIT 7",
    // Whole rows.
    "SELECT {columns} FROM {p} WHERE id BETWEEN 900 AND 1100",
    "SELECT sum(length(note)), count(DISTINCT note) FROM {p}",
];

/// A way to prepare a statement and to run it: the name, true for the owner, and the settings.
type PreparedWay = (&'static str, bool, &'static [(&'static str, &'static str)]);

const PREPARED: &[PreparedWay] = &[
    ("at the owner, prepared", true, &[]),
    ("at the gateway, prepared", false, &[]),
    ("at the gateway, delegated and prepared", false, &[("portolan.strategy", "delegate_to_right")]),
    ("at the gateway, prepared, keys from the left", false, &[("portolan.strategy", "keys_from_left")]),
];

/// Probes for the ports whose policy calls a function or keeps another part of the rows.
const PROBES_OF_OTHERS: &[&str] = &[
    "SELECT count(*) FROM {p} WHERE 1 / (salary - 1003000) >= 0",
    "SELECT count(*) FROM {p} WHERE 1 / (id - 1003) = 0 AND salary > 0",
    "SELECT count(*) FROM {p} WHERE CAST(CASE WHEN dept = 'b' THEN note ELSE '1' END AS INT) = 1",
    "SELECT count(*), min(salary), max(salary), max(ssn) FROM {p}",
    "SELECT ssn, id FROM {p} ORDER BY ssn, id LIMIT 4",
];

/// Parts of values that only hidden rows or unmasked columns have, and of the policies.
const SECRETS: &[&str] =
    &["of person 1003,", "003-33-1003", "000-30-1000", "changed number", "another text", "clearance"];

fn statements() -> Vec<String> {
    let of = |probe: &str, port: &str| {
        let text = probe.replace("{p}", &format!("hr.samples.{port}")).replace("{o}", "shop.samples.orders");
        text.replace("{columns}", VISIBLE_COLUMNS)
    };
    let others = ["by_function", "rare", "most"].into_iter();
    let others = others.flat_map(|port| PROBES_OF_OTHERS.iter().map(move |probe| of(probe, port)));
    PROBES.iter().map(|probe| of(probe, "people")).chain(others).collect()
}

/// Asserts that an outcome has no secret, except those that the statement itself has.
fn assert_no_secret(what: &str, sql: &str, outcome: &Outcome) {
    let text = outcome.text();
    for secret in SECRETS.iter().filter(|secret| !sql.contains(**secret)) {
        assert!(!text.contains(secret), "{what}: `{secret}` shows in\n{text}\n{sql}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn probes_return_what_they_would_without_hidden_rows() {
    within(900, async {
        let (governed, changed, absent) = tokio::join!(
            GovernedMesh::start(HiddenRows::AsTheyAre),
            GovernedMesh::start(HiddenRows::Changed),
            GovernedMesh::start(HiddenRows::Absent),
        );
        assert_visible(&governed).await;
        let meshes = [&governed, &changed, &absent];
        let [of_governed, of_changed, of_absent] =
            [governed.paths(ANALYST).await, changed.paths(ANALYST).await, absent.paths(ANALYST).await];
        let mut prepared = vec![];
        for mesh in meshes {
            let mut sessions = vec![];
            for (_, is_at_owner, settings) in PREPARED {
                let node = if *is_at_owner { mesh.hr() } else { mesh.gateway() };
                sessions.push(FlightSession::login(node, ANALYST, settings).await);
            }
            prepared.push(sessions);
        }
        let mut differences = vec![];
        for sql in statements() {
            let mut compare = |what: &str, outcomes: [Outcome; 3]| {
                differences.extend(difference(what, &sql, meshes, outcomes));
            };
            for ((governed, changed), absent) in of_governed.iter().zip(&of_changed).zip(&of_absent) {
                let run = async |path: &QueryPath| observed(&path.client, &sql).await;
                let (a, b, c) = tokio::join!(run(governed), run(changed), run(absent));
                compare(governed.name, [a, b, c]);
            }
            for (at, (what, ..)) in PREPARED.iter().enumerate() {
                let mut outcomes = vec![];
                for sessions in &mut prepared {
                    outcomes.push(sessions[at].prepared(&sql).await);
                }
                compare(what, outcomes.try_into().unwrap());
            }
        }
        assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n\n"));
    })
    .await;
}

/// Describes a difference between the governed mesh and the one with other hidden rows, in every word, or the one
/// without hidden rows, in rows and kinds of errors.
fn difference(what: &str, sql: &str, meshes: [&GovernedMesh; 3], outcomes: [Outcome; 3]) -> Option<String> {
    let [governed, changed, absent] = outcomes;
    assert_no_secret(what, sql, &governed);
    let plain = |mesh: &GovernedMesh, outcome: Outcome| outcome.map_text(|text| mesh.without_addresses(text));
    let (governed, changed) = (plain(meshes[0], governed), plain(meshes[1], changed));
    if governed != changed {
        let (before, after) = (governed.text(), changed.text());
        return Some(format!("{what}: hidden rows show in\n{sql}\n{before}\n\nwith other hidden rows:\n{after}"));
    }
    let (governed, absent) = (governed.without_words(), plain(meshes[2], absent).without_words());
    (governed != absent).then(|| {
        let (before, after) = (governed.text(), absent.text());
        format!("{what}: the outcome is not that of the visible rows\n{sql}\n{before}\n\nvisible rows alone:\n{after}")
    })
}

/// Asserts that the policies hide the rows that the tests expect.
async fn assert_visible(mesh: &GovernedMesh) {
    for path in mesh.paths(ANALYST).await {
        for name in ["people", "by_function", "rare", "most"] {
            let sql = format!("SELECT count(*) FROM hr.samples.{name}");
            assert_eq!(count(&path.client, &sql).await, Ok(port(name).visible_rows()), "{}: {sql}", path.name);
        }
    }
    for path in mesh.paths(OWNER).await {
        assert_eq!(count(&path.client, "SELECT count(*) FROM hr.samples.people").await, Ok(PEOPLE), "{}", path.name);
        let raw = "SELECT count(*) FROM hr.samples.people WHERE ssn = '003-33-1003' AND rating >= 0";
        assert_eq!(count(&path.client, raw).await, Ok(1), "{}", path.name);
        let fails = observed(&path.client, "SELECT 1 / (salary - 1003000) FROM hr.samples.people").await;
        assert!(matches!(fails, Outcome::Failed(ErrorKind::InvalidQuery, _)), "{}: {fails:?}", path.name);
    }
}
