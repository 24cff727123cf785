//! Tests of governed ports over rows in memory: at their owner, and through a gateway. A policy keeps half of the rows of
//! each batch: DataFusion evaluates two conditions one after the other only if the first one keeps few rows.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod databases;
mod inputs;
mod sources;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Date32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::TryStreamExt;
use portolan_catalog::{
    Column, Place, Port, PortName, PortRef, PortSource, PortStatistics, ProductName, QuerySource, SourceKind,
};
use portolan_connectors::testing::{catalog, columns, local_domain};
use portolan_connectors::{FragmentHead, LocalDomain};
use portolan_governance::{ColumnRule, Mask, PolicyFiles};

use super::PortRules;
use crate::fake_mesh::OwnerPeer;
use crate::{Engine, Error, ErrorKind, Principal, Result};

const ROWS: i64 = 1000;
/// The row that the policy hides and that has a value of its own.
const HIDDEN: i64 = 3;

/// Returns the people. Those with even ids are in the department `a`, all others in `b`. `changed` changes all values of
/// the rows of `b`, except their ids.
fn people(changed: bool) -> Vec<RecordBatch> {
    let ids: Vec<i64> = (0..ROWS).collect();
    let visible = |id: &i64| id % 2 == 0;
    let salary = |id: &i64| if visible(id) || !changed { id * 1000 } else { 7 - id };
    let secret = |id: &i64| match visible(id) || !changed {
        true => format!("{id:09}"),
        false => format!("other {id}"),
    };
    let dept = |id: &i64| if visible(id) { "a" } else { "b" };
    let born = |id: &i64| Some(if visible(id) || !changed { *id as i32 } else { -5 });
    let text = |values: Vec<String>| Arc::new(StringArray::from(values)) as ArrayRef;
    let batch = RecordBatch::try_from_iter([
        ("id", Arc::new(Int64Array::from(ids.clone())) as ArrayRef),
        ("dept", text(ids.iter().map(|id| dept(id).to_owned()).collect())),
        ("salary", Arc::new(Int64Array::from(ids.iter().map(salary).collect::<Vec<_>>()))),
        ("ssn", text(ids.iter().map(secret).collect())),
        ("born", Arc::new(Date32Array::from(ids.iter().map(born).collect::<Vec<_>>()))),
    ]);
    let batch = batch.unwrap();
    (0..4).map(|i| batch.slice(i * 250, 250)).collect()
}

const POLICIES: &str = r#"
@id("analysts")
permit(principal in Group::"analysts", action == Action::"read", resource is sales::p::people)
when { resource has dept && resource.dept == "a" };

@id("owners")
permit(principal in Group::"owners", action, resource);

@id("ssn") @mask("show-last-4")
forbid(principal, action == Action::"read", resource == Column::"sales.p.people.ssn")
unless { principal in Group::"owners" };

@id("born")
forbid(principal, action == Action::"read", resource == Column::"sales.p.people.born")
unless { principal in Group::"owners" };

@id("elders")
permit(principal in Group::"analysts", action == Action::"read", resource is sales::p::elders)
when { resource has id && resource.id < 990 };

@id("one") @mask("replace-with-null")
forbid(principal, action == Action::"read", resource == Column::"sales.p.elders.one")
unless { principal in Group::"owners" };
@id("ratios")
permit(principal in Group::"analysts", action == Action::"read", resource is sales::p::ratios)
when { resource has dept && resource.dept == "a" };
"#;

fn name(port: &str) -> PortRef {
    PortRef::new("sales", "p", port)
}

/// Returns a derived port. The column `dept` is a string, and the others are integers.
fn derived(port: &str, columns: &[&str], query: &str) -> Port {
    let column = |column: &&str| {
        let (data_type, logical) =
            if *column == "dept" { (DataType::Utf8, "string") } else { (DataType::Int64, "integer") };
        let mut column = Column::new(*column).with_type(data_type);
        column.logical_type = Some(logical.to_owned());
        column
    };
    let mut port = Port::new(name(port)).with_columns(columns.iter().map(column));
    let place = Place { file: "c.yaml".into(), line: Some(7), field: "q".to_owned() };
    let kind = SourceKind::Query(QuerySource::new(query));
    port.source = Some(PortSource { server: String::new(), kind, declared_at: BTreeMap::new(), place });
    port
}

fn domain(policies: &str, changed: bool) -> LocalDomain {
    let rows = people(changed);
    let mut port = Port::new(name("people")).with_columns(columns(&rows[0].schema()));
    for column in &mut port.columns {
        column.classification = match column.name.as_str() {
            "salary" => Some("confidential".to_owned()),
            "ssn" => Some("restricted".to_owned()),
            _ => None,
        };
    }
    port.statistics = Arc::new(PortStatistics { rows: Some(ROWS as u64), ..PortStatistics::default() });
    let elders =
        derived("elders", &["id", "salary", "one"], "SELECT id, salary, 1 AS one FROM p.people WHERE id >= 980");
    // The computation fails for the hidden row.
    let query = format!("SELECT id, dept, 100 / (id - {HIDDEN}) AS ratio FROM p.people");
    let ratios = derived("ratios", &["id", "dept", "ratio"], &query);
    let local = local_domain(catalog("sales", [port, elders, ratios]), |_| rows.clone());
    local.with_policies(PolicyFiles::of_product("p", policies))
}

fn analyst() -> Principal {
    Principal::new("ann").with_groups(["analysts"])
}

fn boss() -> Principal {
    Principal::new("bob").with_groups(["owners"])
}

/// The owner of the domain, and a gateway in front of it.
async fn mesh(policies: &str, changed: bool) -> [Engine; 2] {
    let owner = OwnerPeer::of(domain(policies, changed));
    let gateway = Engine::builder().cpu_threads(2).peer(owner.clone()).build().unwrap();
    gateway.refresh().await;
    [owner.engine.clone(), gateway]
}

async fn run(engine: &Engine, principal: Principal, sql: &str) -> Result<Vec<String>> {
    let batches: Vec<RecordBatch> = engine.session(principal).sql(sql).await?.try_collect().await?;
    let options = FormatOptions::default();
    let mut lines = vec![];
    for batch in &batches {
        let columns = batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap());
        let columns: Vec<_> = columns.collect();
        for row in 0..batch.num_rows() {
            lines.push(columns.iter().map(|c| c.value(row).to_string()).collect::<Vec<_>>().join("|"));
        }
    }
    Ok(lines)
}

async fn lines(engine: &Engine, principal: Principal, sql: &str) -> Vec<String> {
    run(engine, principal, sql).await.unwrap_or_else(|e| panic!("{sql}: {}", e.chain()))
}

async fn failed(engine: &Engine, principal: Principal, sql: &str) -> Error {
    match run(engine, principal, sql).await {
        Ok(rows) => panic!("{sql}: {rows:?}"),
        Err(error) => error,
    }
}

/// Queries of the analyst, with their rows.
const ANSWERS: &[(&str, &[&str])] = &[
    ("SELECT count(*), min(salary), max(salary) FROM sales.p.people", &["500|0|998000"]),
    (
        "SELECT id, dept, salary, ssn FROM sales.p.people WHERE id < 5 ORDER BY id",
        &["0|a|0|nnnnn0000", "2|a|2000|nnnnn0002", "4|a|4000|nnnnn0004"],
    ),
    ("SELECT count(*) FROM sales.p.people WHERE ssn = '000000004'", &["0"]),
    ("SELECT id FROM sales.p.people WHERE ssn = 'nnnnn0004'", &["4"]),
    ("SELECT ssn FROM sales.p.people ORDER BY ssn DESC LIMIT 1", &["nnnnn0998"]),
    ("SELECT count(*) FROM sales.p.people WHERE dept = 'b'", &["0"]),
    ("SELECT count(*) FROM sales.p.people WHERE 1 / (salary - 3000) >= 0", &["500"]),
    (
        "SELECT count(*) FROM sales.p.people \
         WHERE CAST(CASE WHEN id = 3 THEN ssn || 'x' ELSE '1' END AS INT) = 1",
        &["500"],
    ),
    ("SELECT count(*) FROM sales.p.people WHERE (SELECT 1 / 0) IS NULL AND id = 3", &["0"]),
    ("SELECT a.id FROM sales.p.people a JOIN sales.p.people b ON a.salary = b.id * 500 WHERE a.id = 2", &["2"]),
    (
        "SELECT id, salary FROM sales.p.elders ORDER BY id",
        &[
            "980|980000",
            "981|981000",
            "982|982000",
            "983|983000",
            "984|984000",
            "985|985000",
            "986|986000",
            "987|987000",
            "988|988000",
            "989|989000",
        ],
    ),
    ("SELECT count(*) FROM sales.p.elders WHERE 1 / (id - 995) IS NOT NULL", &["10"]),
    ("SELECT count(*), count(one) FROM sales.p.elders WHERE one IS NULL", &["10|0"]),
    // Without its mask, the outer column is never NULL.
    (
        "SELECT count(*) FROM sales.p.elders e \
         WHERE EXISTS (SELECT 1 FROM sales.p.people p WHERE p.id = e.id AND e.one IS NULL)",
        &["5"],
    ),
    // The query of the port fails for a hidden row, so conditions on its columns stay above the policies.
    ("SELECT id FROM sales.p.ratios WHERE ratio = 5 ORDER BY id", &["20", "22"]),
    ("SELECT count(*) FROM sales.p.ratios WHERE id BETWEEN 3 AND 9 AND ratio < 100", &["2"]),
    ("SELECT count(*) FROM sales.p.ratios WHERE id = 3 AND ratio IS NOT NULL", &["0"]),
];

#[tokio::test]
async fn a_principal_sees_rows_and_masks_of_the_policies() {
    for engine in mesh(POLICIES, false).await {
        for (sql, rows) in ANSWERS {
            assert_eq!(lines(&engine, analyst(), sql).await, *rows, "{sql}");
        }
        let all = "SELECT count(*), max(salary), max(ssn), min(born) FROM sales.p.people";
        assert_eq!(lines(&engine, boss(), all).await, ["1000|999000|000000999|1970-01-01"]);
        assert_eq!(lines(&engine, boss(), "SELECT count(*) FROM sales.p.elders").await, ["20"]);
    }
}

#[tokio::test]
async fn hidden_columns_and_strangers_are_refused() {
    for engine in mesh(POLICIES, false).await {
        for sql in [
            "SELECT * FROM sales.p.people",
            "SELECT id FROM sales.p.people WHERE born > DATE '1970-01-02'",
            "SELECT count(*) FROM sales.p.people GROUP BY born",
            "SELECT count(born) FROM sales.p.people",
            "SELECT a.id FROM sales.p.people a JOIN sales.p.people b USING (born)",
        ] {
            let error = failed(&engine, analyst(), sql).await;
            assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{sql}: {}", error.chain());
            assert!(error.chain().contains("`born`") && !error.chain().contains("ssn"), "{sql}: {}", error.chain());
        }
        let rest = "SELECT * EXCLUDE (born) FROM sales.p.people WHERE id = 4";
        assert_eq!(lines(&engine, analyst(), rest).await, ["4|a|4000|nnnnn0004"]);
        let error = failed(&engine, Principal::new("eve"), "SELECT 1 FROM sales.p.people").await;
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{}", error.chain());
        assert!(error.chain().contains("eve") && !error.chain().contains("dept"), "{}", error.chain());
    }
    // A gateway explains what it sends, without the owner.
    let [owner, _] = mesh(POLICIES, false).await;
    let error = failed(&owner, Principal::new("eve"), "EXPLAIN SELECT count(*) FROM sales.p.people").await;
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{}", error.chain());
}

/// Statements whose outcome may not depend on hidden rows.
const PROBES: &[&str] = &[
    "SELECT count(*) FROM sales.p.people WHERE 1 / (salary - 3000) >= 0",
    "SELECT count(*) FROM sales.p.people WHERE 1 / (salary - 4000) >= 0",
    "SELECT CAST(ssn AS INT) FROM sales.p.people",
    "SELECT sum(salary * 9000000000000) FROM sales.p.people",
    "SELECT CASE WHEN salary = 3000 THEN 1 / (id - 3) ELSE 1 END AS x FROM sales.p.people ORDER BY x LIMIT 1",
    "SELECT count(*) FROM sales.p.people WHERE salary = 3000",
    "SELECT id FROM sales.p.people WHERE salary > (SELECT avg(salary) FROM sales.p.people) ORDER BY id LIMIT 3",
    "SELECT count(*) FROM sales.p.people WHERE EXISTS (SELECT 1 / (id - 3) FROM sales.p.people)",
    "SELECT (SELECT id FROM sales.p.people WHERE salary < 1000)",
    "SELECT DISTINCT dept FROM sales.p.people",
    "SELECT approx_distinct(salary) FROM sales.p.people",
    "SELECT rows FROM mesh.ports WHERE port = 'people'",
    "SELECT * FROM mesh.columns WHERE port = 'people'",
    "EXPLAIN SELECT id FROM sales.p.people WHERE salary = 3000",
    "EXPLAIN VERBOSE SELECT id FROM sales.p.people WHERE ssn LIKE '%3' AND salary > 5",
    "EXPLAIN VERBOSE SELECT id FROM sales.p.people WHERE dept <> 'x\ny' AND length(ssn) > 3",
    "EXPLAIN (FORMAT JSON) SELECT a.id FROM sales.p.people a JOIN sales.p.people b ON a.id = b.salary",
    "EXPLAIN (FORMAT SVG) SELECT count(*) FROM sales.p.people GROUP BY dept",
];

#[tokio::test]
async fn nothing_depends_on_hidden_rows() {
    let (before, after) = (mesh(POLICIES, false).await, mesh(POLICIES, true).await);
    for sql in PROBES {
        for (before, after) in before.iter().zip(&after) {
            let text = async |engine: &Engine| match run(engine, analyst(), sql).await {
                Ok(lines) => lines.join("\n"),
                Err(error) => format!("{:?} {}", error.kind(), error.chain()),
            };
            let shown = text(before).await;
            assert_eq!(shown, text(after).await, "{sql}");
            let hides = !shown.contains("000000003") && !shown.contains("dept = ") && !shown.contains("dept@");
            assert!(hides, "{sql}: {shown}");
        }
    }
}

#[tokio::test]
async fn measurements_end_at_the_barrier() {
    let sql = format!("EXPLAIN ANALYZE SELECT id FROM sales.p.people WHERE salary = {}", HIDDEN * 1000);
    for engine in mesh(POLICIES, false).await {
        let text = lines(&engine, analyst(), &sql).await.join("\n");
        assert!(!text.contains("dept"), "{text}");
        assert!(!text.contains("DataSourceExec") && !text.contains("1000 rows"), "{text}");
    }
    // The estimate of a barrier is a constant, and says nothing about the operators above.
    let [owner, _] = mesh(POLICIES, false).await;
    let sql = "EXPLAIN ANALYZE SELECT count(*) FROM sales.p.people WHERE salary % 7 = 3";
    let text = lines(&owner, analyst(), sql).await.join("\n");
    assert!(text.contains("BarrierExec") && !text.contains("q-error"), "{text}");
}

#[tokio::test]
async fn faulty_policies_close_the_ports_of_their_product() {
    let [owner, _] = mesh("permit(principal, action, resource) when { resource.nothing == 1 };", false).await;
    let error = failed(&owner, boss(), "SELECT 1 FROM sales.p.people").await;
    assert!(error.chain().contains("sales.p.people"), "{}", error.chain());

    // Faulty changes leave the policies in effect.
    let [owner, _] = mesh(POLICIES, false).await;
    owner.replace_local_domain(domain("permit(", false));
    assert_eq!(lines(&owner, analyst(), "SELECT count(*) FROM sales.p.people").await, ["500"]);
    owner.replace_local_domain(domain("forbid(principal, action == Action::\"read\", resource);", false));
    let error = failed(&owner, boss(), "SELECT 1 FROM sales.p.people").await;
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
}

#[tokio::test]
async fn a_plan_that_is_older_than_the_contract_is_refused() {
    let engine = Engine::builder().cpu_threads(2).local_domain(domain(POLICIES, false)).build().unwrap();
    let inner = engine.inner();
    let planned = inner.mesh.view();
    let head = FragmentHead::new("q", analyst(), Instant::now() + Duration::from_secs(60));
    let decide = || PortRules::of(&inner, &head, &planned).decide(&name("people"));
    assert!(decide().unwrap().is_some());
    engine.replace_local_domain(domain(&POLICIES.replace("show-last-4", "replace-with-null"), true));
    let governed = decide().unwrap().unwrap();
    assert_eq!(governed.rule("ssn"), Some(ColumnRule::Masked(Mask::ReplaceWithNull)), "new policies apply at once");
    assert_eq!((governed.rule("id"), governed.rule("number")), (None, Some(ColumnRule::Hidden)));

    let mut renamed = domain(POLICIES, false);
    let products = &mut Arc::make_mut(&mut renamed.catalog).products;
    let port = products.get_mut(&ProductName::new("p")).unwrap().ports.get_mut(&PortName::new("people")).unwrap();
    port.columns.iter_mut().filter(|c| c.name == "ssn").for_each(|c| c.name = "number".to_owned());
    engine.replace_local_domain(renamed);
    let error = decide().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SiteUnavailable);
    assert!(error.context().contains("run the statement again"), "{}", error.context());
}

#[tokio::test]
async fn conditions_in_sql() {
    let policy = |text: &str| {
        format!("@row_filter(\"{text}\")\npermit(principal, action == Action::\"read\", resource is sales::p::people);")
    };
    for (text, rows) in [
        ("dept = 'a' AND salary / 2.0 < 5000", Some("5")),
        ("upper(dept) = 'B'", Some("500")),
        ("born < DATE '1970-01-11'", Some("10")),
        // For all other rows, the cast is NULL.
        ("TRY_CAST(salary AS SMALLINT) <> 4", Some("33")),
        ("CAST(salary / 2.0 AS BIGINT) <> 4", None),
        ("1 / salary > 0", None),
        ("salary", None),
        ("nothing = 1", None),
        ("random() > 0.5", None),
        ("id IN (SELECT 1)", None),
    ] {
        let [owner, _] = mesh(&policy(text), false).await;
        let counted = run(&owner, analyst(), "SELECT count(*) FROM sales.p.people").await;
        match rows {
            Some(rows) => assert_eq!(counted.unwrap_or_else(|e| panic!("{text}: {}", e.chain())), [rows], "{text}"),
            None => drop(counted.expect_err(text)),
        }
    }
}

/// Returns the classification and the ports of a query's label, and true for ports with a version of policies.
async fn label(engine: &Engine, principal: Principal, sql: &str) -> (Option<String>, Vec<(String, bool)>) {
    let rows = engine.session(principal).sql(sql).await.unwrap();
    let progress = rows.progress();
    rows.collect().await.unwrap();
    let label = progress.now().label;
    (label.classification, label.ports.into_iter().map(|port| (port.name, port.policies.is_some())).collect())
}

#[tokio::test]
async fn a_label_counts_what_the_principal_reads_as_it_is() {
    let [owner, gateway] = mesh(POLICIES, false).await;
    let people =
        |classification: Option<&str>| (classification.map(str::to_owned), vec![("sales.p.people".to_owned(), true)]);
    for (sql, of_analyst, of_boss) in [
        ("SELECT count(*) FROM sales.p.people", None, None),
        ("SELECT id, ssn FROM sales.p.people", None, Some("restricted")),
        ("SELECT id FROM sales.p.people WHERE salary = 4000", Some("confidential"), Some("confidential")),
        ("SELECT id FROM sales.p.people WHERE ssn LIKE '%4' AND salary < 9", Some("confidential"), Some("restricted")),
        ("SELECT (SELECT max(ssn) FROM sales.p.people)", None, Some("restricted")),
    ] {
        assert_eq!(label(&owner, analyst(), sql).await, people(of_analyst), "{sql}");
        assert_eq!(label(&owner, boss(), sql).await, people(of_boss), "{sql}");
    }
    // A derived port stands for what its query reads, for a principal who sees a part of it or all of it.
    for principal in [analyst(), boss()] {
        let elders = (None, vec![("sales.p.elders".to_owned(), true)]);
        assert_eq!(label(&owner, principal, "SELECT max(salary) FROM sales.p.elders").await, elders);
    }
    // This owner reports no label, so the gateway knows only what the contract says.
    let expected = (Some("restricted".to_owned()), vec![("sales.p.people".to_owned(), false)]);
    assert_eq!(label(&gateway, analyst(), "SELECT ssn FROM sales.p.people").await, expected);
    assert_eq!(label(&gateway, analyst(), "SELECT 1").await, (None, vec![]));
}
