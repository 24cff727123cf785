//! Two principals read a port with a row filter and masks twice in one query, at the same time and in all ways. Each gets
//! its own rows, from a part of its own.

use futures::future::join_all;
use portolan_node::client::Client;
use portolan_tests::governance::meshes::{ANALYST, GovernedMesh, OWNER};
use portolan_tests::governance::people::{HiddenRows, PEOPLE};
use portolan_tests::governance::values::show_last_4;
use portolan_tests::mesh::within;
use portolan_tests::rows::text;
use portolan_tests::ways::lines;

/// How often each principal runs each query in each way.
const RUNS: usize = 5;
const GROUPS: &str = "WITH w AS (SELECT dept, count(*) AS n, sum(id) AS s FROM hr.samples.people GROUP BY dept) \
                      SELECT u.dept, u.n, v.s FROM w u JOIN w v ON u.dept = v.dept AND u.n = v.n AND u.s = v.s \
                      ORDER BY 1";
const MASKED: &str = "WITH w AS (SELECT id, ssn FROM hr.samples.people) \
                      SELECT count(*), count(DISTINCT u.ssn), min(v.ssn) FROM w u JOIN w v ON u.id = v.id";

/// Returns the number of a person for social security, as the data has it.
fn ssn(id: i64) -> String {
    format!("{:03}-{:02}-{:04}", id % 1000, id % 97, id)
}

/// Returns the rows of both queries for a principal, by the meaning of the policies.
fn expected(user: &str) -> [Vec<String>; 2] {
    let is_visible = |id: &i64| id % 5 < 3;
    let (visible, hidden): (Vec<i64>, Vec<i64>) = (0..PEOPLE).partition(is_visible);
    let group = |dept: &str, ids: &[i64]| format!("{dept}|{}|{}", ids.len(), ids.iter().sum::<i64>());
    let masked =
        |numbers: Vec<String>| format!("{}|{}|{}", numbers.len(), numbers.len(), numbers.iter().min().unwrap());
    match user {
        OWNER => {
            let all = (0..PEOPLE).map(ssn).collect();
            [vec![group("a", &visible), group("b", &hidden)], vec![masked(all)]]
        }
        _ => {
            let all = visible.iter().map(|id| show_last_4(&ssn(*id))).collect();
            [vec![group("a", &visible)], vec![masked(all)]]
        }
    }
}

async fn assert_own_rows(client: &Client, user: &str, path: &str) {
    let expected = expected(user);
    for _ in 0..RUNS {
        for (sql, expected) in [GROUPS, MASKED].iter().zip(&expected) {
            let (_, batches) =
                client.query(sql).await.unwrap_or_else(|e| panic!("{user} {path}: {}\n{sql}", e.chain()));
            assert_eq!(&lines(&batches), expected, "{user} {path}\n{sql}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_principal_has_its_own_rows_in_a_shared_part() {
    within(300, async {
        assert_ne!(expected(OWNER), expected(ANALYST));
        let mesh = GovernedMesh::start(HiddenRows::AsTheyAre).await;
        let mut sessions = vec![];
        for user in [OWNER, ANALYST] {
            for path in mesh.paths(user).await {
                if path.name == "at the gateway, unplaced" {
                    for sql in [GROUPS, MASKED] {
                        let plan = text(&path.client, &format!("EXPLAIN {sql}")).await;
                        assert!(plan.contains("= shared part 1 for 2 readers"), "{user}: {plan}");
                    }
                }
                sessions.push((user, path));
            }
        }
        join_all(sessions.iter().map(|(user, path)| assert_own_rows(&path.client, user, path.name))).await;
    })
    .await;
}
