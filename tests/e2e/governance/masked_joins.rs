//! Joins on masked columns of two owners: hashes that agree join by masked values, as tables that were masked beforehand
//! do. All others are refused with a message, and never silently empty.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use portolan_engine::{ErrorKind, Principal};
use portolan_governance::MaskKey;
use portolan_tests::governance::meshes::{ANALYST, GovernedMesh, MASK_KEY, OWNERS};
use portolan_tests::governance::outcomes::{Outcome, observed};
use portolan_tests::governance::owners::{LocalMesh, domain_with_key};
use portolan_tests::governance::people::HiddenRows;
use portolan_tests::mesh::within;
use portolan_tests::ways::table;
use ring::hmac;

const KEY: &str = "0123456789abcdef0123456789abcdef";
const OTHER_KEY: &str = "fedcba9876543210fedcba9876543210";

/// The joins, with `{k}` as the key of both sides.
const JOINS: &[&str] = &[
    "SELECT a.id, b.id FROM hr.samples.people a JOIN shop.samples.orders b ON a.{k} = b.{k}",
    "SELECT a.id, b.id FROM shop.samples.orders b JOIN hr.samples.people a USING ({k})",
    "SELECT a.id, b.id FROM hr.samples.people a LEFT JOIN shop.samples.orders b ON a.{k} = b.{k} AND a.id < b.id + 9",
    "SELECT a.id FROM hr.samples.people a WHERE {k} IN (SELECT {k} FROM shop.samples.orders)",
    "SELECT a.id FROM hr.samples.people a WHERE NOT EXISTS (SELECT 1 FROM shop.samples.orders b WHERE a.{k} = b.{k})",
    "SELECT {k} FROM hr.samples.people INTERSECT SELECT {k} FROM shop.samples.orders",
    "SELECT {k} FROM hr.samples.people EXCEPT SELECT {k} FROM shop.samples.orders",
    "SELECT count(*) FROM (SELECT max({k}) AS m FROM hr.samples.people GROUP BY id) JOIN shop.samples.orders ON m = {k}",
];

/// The settings that force a plan.
const WAYS: &[&[&str]] = &[
    &[],
    &["SET portolan.placement = off"],
    &["SET portolan.pushdown = scans"],
    &["SET portolan.strategy = gather"],
    &["SET portolan.strategy = keys_from_left"],
    &["SET portolan.strategy = keys_from_right"],
    &["SET portolan.strategy = delegate_to_left"],
    &["SET portolan.strategy = delegate_to_right"],
];

fn settings(way: &[&str]) -> Vec<String> {
    way.iter().map(|setting| (*setting).to_owned()).collect()
}

/// Returns people or orders: the key in words, of which some occur twice and one is NULL, and the same key as a number.
fn rows(ids: std::ops::Range<i64>) -> RecordBatch {
    let key = |id: i64| (id % 20 != 7).then_some(id % 40);
    table(vec![
        ("id", Arc::new(Int64Array::from_iter_values(ids.clone())) as ArrayRef),
        ("k", Arc::new(StringArray::from_iter(ids.clone().map(|id| key(id).map(|key| format!("person {key}")))))),
        ("n", Arc::new(Int64Array::from_iter(ids.map(key)))),
    ])
}

/// Returns policies that permit all, and mask the keys of a domain's port.
fn policies(domain: &str, port: &str, masks: &[(&str, &str)]) -> String {
    let mut text = "permit(principal, action, resource);\n".to_owned();
    for (column, mask) in masks {
        text.push_str(&format!(
            "@mask(\"{mask}\") forbid(principal, action, resource == Column::\"{domain}.samples.{port}.{column}\");\n"
        ));
    }
    text
}

/// Returns the mask of a column, or none.
fn masks<'a>(column: &'a str, mask: &'a str) -> Vec<(&'a str, &'a str)> {
    if mask.is_empty() { vec![] } else { vec![(column, mask)] }
}

/// Starts a mesh whose owners mask the keys, with these keys of the mesh.
async fn mesh(hr: &[(&str, &str)], shop: &[(&str, &str)], keys: [&str; 2]) -> LocalMesh {
    let of = |name: &str, port: &str, ids, masks: &[(&str, &str)], key: &str| {
        let key = Some(MaskKey::parse(key).unwrap());
        domain_with_key(name, &[(port, vec![rows(ids)])], &policies(name, port, masks), key)
    };
    let [hr_key, shop_key] = keys;
    LocalMesh::start(of("hr", "people", 0..60, hr, hr_key), of("shop", "orders", 30..60, shop, shop_key), 2).await
}

fn ann() -> Principal {
    Principal::new("ann")
}

/// Returns the hash of a value, by the definition of the mask.
fn hash(key: &str, name: &str, purpose: &str, value: &str) -> String {
    let sign = |key: &[u8], text: &str| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes());
    let own = sign(key.as_bytes(), &format!("portolan-mask:1:{}:{name}:{purpose}", name.len()));
    sign(own.as_ref(), value).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[track_caller]
fn assert_refused(what: &str, outcome: &Outcome, parts: &[&str]) {
    let Outcome::Failed(kind, text) = outcome else { panic!("{what}: {}", outcome.text()) };
    assert_eq!(*kind, ErrorKind::PermissionDenied, "{what}: {text}");
    for part in parts {
        assert!(text.contains(part), "{what}: expected `{part}`, got: {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn keyed_hashes_of_two_owners_join() {
    within(300, async {
        let hashed = mesh(&[("k", "hmac-sha-256")], &[("k", "hmac-sha-256")], [KEY, KEY]).await;
        // The oracle: the same joins over the originals, with the hashes in the place of the keys.
        let plain = mesh(&[], &[], [KEY, KEY]).await;
        let values: BTreeMap<String, String> = (0..40)
            .map(|key| format!("person {key}"))
            .map(|value| (hash(KEY, "ann", "fraud", &value), value))
            .collect();
        let purpose = "SET portolan.purpose = 'fraud'".to_owned();
        for join in JOINS.iter().map(|join| join.replace("{k}", "k")) {
            let original = plain.observed(false, &ann(), &[], &join).await;
            assert!(original.rows().is_some_and(|rows| rows > 0), "{join}");
            for way in WAYS {
                for at_owner in [true, false] {
                    let settings = [settings(way), vec![purpose.clone()]].concat();
                    let Outcome::Rows(columns, rows) = hashed.observed(at_owner, &ann(), &settings, &join).await else {
                        panic!("{way:?}: the join is refused: {join}")
                    };
                    let unhashed = |row: &String| values.get(row).cloned().unwrap_or_else(|| row.clone());
                    let mut rows: Vec<String> = rows.iter().map(unhashed).collect();
                    rows.sort();
                    assert_eq!(Outcome::Rows(columns, rows), original, "{way:?}: {join}");
                }
            }
        }
        // The hash depends on the principal and on the purpose.
        let one = "SELECT DISTINCT k FROM hr.samples.people WHERE id = 3";
        let session = async |settings: &[String]| hashed.observed(false, &ann(), settings, one).await;
        let Outcome::Rows(_, rows) = session(&[purpose]).await else { panic!("no rows") };
        assert_eq!(rows, [hash(KEY, "ann", "fraud", "person 3")]);
        let Outcome::Rows(_, rows) = session(&[]).await else { panic!("no rows") };
        assert_eq!(rows, [hash(KEY, "ann", "", "person 3")]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn hashes_that_do_not_agree_are_refused() {
    const GLOBAL: &str = "sha-256-global";
    const LOCAL: &str = "sha-256-query-local";
    const KEYED: &str = "hmac-sha-256";
    within(300, async {
        let both = "hashes both, with different salts, keys or types";
        let cases: [(&str, &str, &str, [&str; 2], &str); 6] = [
            ("k", LOCAL, LOCAL, [KEY, KEY], both),
            ("n", LOCAL, LOCAL, [KEY, KEY], both),
            ("k", KEYED, KEYED, [KEY, OTHER_KEY], both),
            ("k", KEYED, GLOBAL, [KEY, KEY], "hashes by `sha-256-global`"),
            ("k", KEYED, "", [KEY, KEY], "values without a hash"),
            ("k", "mask-alphanum", GLOBAL, [KEY, KEY], "values without a hash"),
        ];
        for (column, of_hr, of_shop, keys, reason) in cases {
            let mesh = mesh(&masks(column, of_hr), &masks(column, of_shop), keys).await;
            for join in JOINS.iter().map(|join| join.replace("{k}", column)) {
                for way in WAYS {
                    for at_owner in [true, false] {
                        let outcome = mesh.observed(at_owner, &ann(), &settings(way), &join).await;
                        let what = format!("{of_hr}, {of_shop}, {way:?}, at the owner: {at_owner}: {join}");
                        assert_refused(&what, &outcome, &["refused", reason, "`mask_key`"]);
                    }
                }
            }
        }
    })
    .await;
}

/// Hashes that agree in all queries, and masks that join by masked values as they are.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn other_masks_join_by_masked_values() {
    within(300, async {
        let count = "SELECT count(*) FROM hr.samples.people a JOIN shop.samples.orders b ON a.{k} = b.{k}";
        let originals = mesh(&[], &[], [KEY, KEY]).await;
        let counted = async |mesh: &LocalMesh, sql: &str| {
            let mut all = vec![];
            for way in WAYS {
                let Outcome::Rows(_, rows) = mesh.observed(false, &ann(), &settings(way), sql).await else {
                    panic!("{way:?}: {sql} is refused")
                };
                all.extend(rows);
            }
            all.dedup();
            assert_eq!(all.len(), 1, "{sql}: {all:?}");
            all.remove(0)
        };
        let expected = counted(&originals, &count.replace("{k}", "k")).await;
        for column in ["k", "n"] {
            let mask: &[(&str, &str)] = &[(column, "sha-256-global")];
            let mesh = mesh(mask, mask, [KEY, OTHER_KEY]).await;
            assert_eq!(counted(&mesh, &count.replace("{k}", column)).await, expected);
            // Within one owner, the salt of the query is one.
            let self_join = "SELECT count(*) FROM hr.samples.people a JOIN hr.samples.people b USING (k, n)";
            assert_eq!(counted(&mesh, self_join).await, counted(&originals, self_join).await);
        }
        let local = mesh(&[("k", "sha-256-query-local")], &[], [KEY, KEY]).await;
        let self_join = "SELECT count(*) FROM hr.samples.people a JOIN hr.samples.people b USING (k)";
        assert_eq!(counted(&local, self_join).await, counted(&originals, self_join).await);

        // NULL equals nothing. A fixed value equals itself.
        let nulls = mesh(&[("k", "replace-with-null")], &[], [KEY, KEY]).await;
        assert_eq!(counted(&nulls, &count.replace("{k}", "k")).await, "0");
        let fixed: &[(&str, &str)] = &[("k", "mask-to-fixed-value")];
        let fixed = mesh(fixed, fixed, [KEY, KEY]).await;
        assert_eq!(counted(&fixed, &count.replace("{k}", "k")).await, "1800");
    })
    .await;
}

/// Comparisons that hide a hash behind an expression, a window, a list, or the place of the condition.
const HIDDEN_COMPARISONS: &[&str] = &[
    "SELECT count(*) FROM hr.samples.people a JOIN shop.samples.orders b ON upper(a.k) = upper(b.k)",
    "SELECT count(*) FROM hr.samples.people a JOIN shop.samples.orders b ON a.k || '-' = b.k || '-'",
    "SELECT count(*) FROM hr.samples.people a JOIN shop.samples.orders b \
     ON CASE WHEN a.id > 3 THEN a.k ELSE 'none' END = b.k",
    "SELECT count(*) FROM hr.samples.people a JOIN shop.samples.orders b ON a.id = b.id AND a.k <> b.k",
    "SELECT count(*) FROM hr.samples.people a LEFT JOIN shop.samples.orders b ON a.id = b.id \
     WHERE a.k = b.k OR b.id IS NULL",
    "SELECT count(*) FILTER (WHERE a.k = b.k) FROM hr.samples.people a JOIN shop.samples.orders b ON a.id = b.id",
    "SELECT count(*) FROM (SELECT lag(k) OVER (ORDER BY id) AS k FROM hr.samples.people) a \
     JOIN shop.samples.orders b USING (k)",
    "SELECT count(*) FROM (SELECT k, unnest([1, 2]) AS u FROM hr.samples.people) a JOIN shop.samples.orders b USING (k)",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_expression_hides_that_a_hash_is_compared_with_a_value() {
    within(300, async {
        let hash: &[(&str, &str)] = &[("k", "sha-256-global")];
        let both = mesh(hash, hash, [KEY, KEY]).await;
        let one = mesh(hash, &[], [KEY, KEY]).await;
        for sql in HIDDEN_COMPARISONS {
            for way in WAYS {
                for at_owner in [true, false] {
                    let what = format!("{way:?}, at the owner: {at_owner}: {sql}");
                    let outcome = one.observed(at_owner, &ann(), &settings(way), sql).await;
                    assert_refused(&what, &outcome, &["is refused", "`sha-256-global`", "values without a hash"]);
                    let outcome = both.observed(at_owner, &ann(), &settings(way), sql).await;
                    assert!(outcome.rows().is_some(), "hashes that agree: {what}: {}", outcome.text());
                }
            }
        }
    })
    .await;
}

/// The hash of a value has no check, at the owner and at the gateway: a reader who knows a hash may compare with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn computed_keys_are_not_refused() {
    within(300, async {
        let mesh = mesh(&[("k", "sha-256-global")], &[], [KEY, KEY]).await;
        let sql = "SELECT count(*) FROM hr.samples.people a JOIN shop.samples.orders b \
                   ON a.k = encode(digest(b.k, 'sha256'), 'hex')";
        for way in WAYS {
            for at_owner in [true, false] {
                let outcome = mesh.observed(at_owner, &ann(), &settings(way), sql).await;
                let Outcome::Rows(_, rows) = outcome else { panic!("{way:?}: {}", outcome.text()) };
                assert!(rows.iter().all(|count| count != "0"), "{way:?}");
            }
        }
    })
    .await;
}

/// The same between processes, with the key in the config of a node.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn joins_of_processes_are_refused_and_keys_come_from_the_config() {
    within(300, async {
        let policies = |mask: &str| {
            let read = "permit(principal in Group::\"analysts\", action == Action::\"read\", resource);\n";
            let masked = "forbid(principal, action == Action::\"read\", resource == Column::\"hr.samples.people.ssn\")\n\
                          unless { principal in Group::\"owners\" };\n";
            vec![
                ("owners.cedar".to_owned(), OWNERS.to_owned()),
                ("people.cedar".to_owned(), format!("{read}@mask(\"{mask}\")\n{masked}")),
            ]
        };
        let mesh = GovernedMesh::start_with(HiddenRows::AsTheyAre, &policies("hmac-sha-256")).await;
        let join = "SELECT count(*) FROM hr.samples.people JOIN shop.samples.orders ON ssn = tag";
        let one = "SELECT ssn FROM hr.samples.people WHERE id = 1000";
        let own = "SELECT count(*) FROM hr.samples.people a JOIN hr.samples.people b ON a.ssn = b.ssn AND a.id = b.id";
        for path in mesh.paths(ANALYST).await {
            assert_refused(path.name, &observed(&path.client, join).await, &["ssn", "tag", "`hmac-sha-256`"]);
            let Outcome::Rows(_, rows) = observed(&path.client, one).await else { panic!("{}: no row", path.name) };
            assert_eq!(rows, [hash(MASK_KEY, ANALYST, "", "000-30-1000")], "{}", path.name);
            let Outcome::Rows(_, rows) = observed(&path.client, own).await else { panic!("{}: no row", path.name) };
            assert_eq!(rows, ["4000"], "{}", path.name);
        }
    })
    .await;
}
