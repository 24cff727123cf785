//! Fragments with plans that no planner wrote, from a node that the owner trusts. The owner plans each of them again, so
//! that no place in a plan is below its policies.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::{DFSchemaRef, Result as DataFusionResult, internal_err};
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::ListingOptions;
use datafusion::datasource::{MemTable, ViewTable, provider_as_source};
use datafusion::logical_expr::{
    ColumnarValue, Expr, Extension, LogicalPlan, LogicalPlanBuilder, TableScanBuilder, UserDefinedLogicalNodeCore,
    Volatility, create_udf,
};
use datafusion::prelude::{SessionContext, col, lit};
use portolan_catalog::PortRef;
use portolan_engine::{Error, ErrorKind, Principal};
use portolan_tests::governance::forger::Forger;
use portolan_tests::governance::meshes::{ANALYST, GovernedMesh, STRANGER};
use portolan_tests::governance::people::HiddenRows;
use portolan_tests::mesh::within;
use prost::bytes::Bytes;

const NAME: &str = "hr.samples.people";
/// The number of a person whom the policies hide, as the port's file has it.
const HIDDEN_SSN: &str = "003-33-1003";
/// That of a person whom they show.
const RAW_SSN: &str = "000-30-1000";

fn analyst() -> Principal {
    Principal::new(ANALYST).with_groups(["analysts"])
}

fn of(column: &str) -> Expr {
    col(format!("{NAME}.{column}"))
}

/// The outcome of a plan.
enum Expected {
    /// The rows of a statement of the same principal.
    RowsOf(&'static str),
    /// A refusal with these words.
    Refused(ErrorKind, &'static str),
}
use Expected::{Refused, RowsOf};

/// A plan of the attacker.
struct Attack {
    what: &'static str,
    plan: LogicalPlan,
    keys: Vec<Bytes>,
    expected: Expected,
}

/// The columns of the port, in the plans of the attacker.
struct Port {
    schema: SchemaRef,
}

impl Port {
    /// Returns a scan of some columns with these conditions inside of the scan.
    fn scan(&self, name: &str, columns: &[&str], filters: Vec<Expr>) -> LogicalPlanBuilder {
        let positions = columns.iter().map(|column| self.schema.index_of(column).unwrap()).collect();
        let rows = MemTable::try_new(self.schema.clone(), vec![vec![]]).unwrap();
        let source = provider_as_source(Arc::new(rows));
        LogicalPlanBuilder::scan_with_filters(name, source, Some(positions), filters).unwrap()
    }

    fn plan(&self, columns: &[&str], filters: Vec<Expr>) -> LogicalPlan {
        self.scan(NAME, columns, filters).build().unwrap()
    }

    fn all(&self) -> LogicalPlan {
        let columns: Vec<&str> = self.schema.fields().iter().map(|field| field.name().as_str()).collect();
        self.plan(&columns, vec![])
    }
}

/// A barrier of the attacker's own, in whose place the owner might expect its own one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd)]
struct OwnBarrier {
    input: LogicalPlan,
}

impl UserDefinedLogicalNodeCore for OwnBarrier {
    fn name(&self) -> &str {
        "Barrier"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![]
    }

    fn fmt_for_explain(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Barrier: {NAME} by its policies")
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> DataFusionResult<Self> {
        match inputs.pop() {
            Some(input) => Ok(Self { input }),
            None => internal_err!("a barrier has one input"),
        }
    }
}

fn attack(what: &'static str, plan: LogicalPlan, expected: Expected) -> Attack {
    Attack { what, plan, keys: vec![], expected }
}

/// Scans with columns, conditions, limits and names of their own.
fn scans(port: &Port) -> Vec<Attack> {
    let by_zero = || (lit(1_i64) / (of("salary") - lit(1_003_000_i64))).gt_eq(lit(0_i64));
    let sorted = |plan: LogicalPlan, by: &str| {
        let sorted = LogicalPlanBuilder::from(plan).sort_with_limit(vec![of(by).sort(true, false)], Some(1)).unwrap();
        sorted.project([of("ssn")]).unwrap().build().unwrap()
    };
    let people = "SELECT id, ssn FROM hr.samples.people";
    vec![
        attack("a scan of every column", port.all(), Refused(ErrorKind::PermissionDenied, "`clearance`, `rating`")),
        attack("a hidden column", port.plan(&["rating"], vec![]), Refused(ErrorKind::PermissionDenied, "`rating`")),
        attack(
            "a condition on a hidden column inside of the scan",
            port.plan(&["id"], vec![of("rating").gt(lit(5_i64))]),
            Refused(ErrorKind::PermissionDenied, "`rating`"),
        ),
        attack("a scan without a condition", port.plan(&["id", "ssn"], vec![]), RowsOf(people)),
        attack(
            "a raw value inside of the scan",
            port.plan(&["id"], vec![of("ssn").eq(lit(RAW_SSN)).or(of("ssn").eq(lit(HIDDEN_SSN)))]),
            RowsOf("SELECT id FROM hr.samples.people WHERE false"),
        ),
        attack(
            "a masked value inside of the scan",
            port.plan(&["id"], vec![of("ssn").eq(lit("nnn-nn-1000"))]),
            RowsOf("SELECT id FROM hr.samples.people WHERE id = 1000"),
        ),
        attack(
            "a division by a hidden value inside of the scan",
            port.plan(&["id"], vec![by_zero()]),
            RowsOf("SELECT id FROM hr.samples.people WHERE salary IS NOT NULL"),
        ),
        attack(
            "conditions in another order",
            port.plan(&["id"], vec![by_zero(), of("id").eq(lit(1_003_i64))]),
            RowsOf("SELECT id FROM hr.samples.people WHERE false"),
        ),
        attack(
            "the first raw value",
            sorted(port.plan(&["ssn", "id"], vec![]), "ssn"),
            RowsOf("SELECT min(ssn) FROM hr.samples.people"),
        ),
        attack(
            "another name for the port",
            port.scan("shop.samples.orders", &["id"], vec![]).build().unwrap(),
            RowsOf("SELECT id FROM hr.samples.people"),
        ),
        attack(
            "a limit of many rows",
            port.scan(NAME, &["id"], vec![]).limit(0, Some(1_000_000)).unwrap().build().unwrap(),
            RowsOf("SELECT id FROM hr.samples.people"),
        ),
    ]
}

/// Plans around the port's rows: views, operators of the attacker's own, and files.
async fn others(port: &Port, file: &str) -> Vec<Attack> {
    let view = |plan: LogicalPlan| {
        let view = provider_as_source(Arc::new(ViewTable::new(plan, None)));
        // A builder would put the plan of the view in the place of the view.
        LogicalPlan::TableScan(TableScanBuilder::new("view", view).build().unwrap())
    };
    let barrier = |input: LogicalPlan| LogicalPlan::Extension(Extension { node: Arc::new(OwnBarrier { input }) });
    let context = SessionContext::new();
    let options = ListingOptions::new(Arc::new(ParquetFormat::default()));
    context.register_listing_table("files", file, options, Some(port.schema.clone()), None).await.unwrap();
    let files = context.table("files").await.unwrap().into_unoptimized_plan();
    vec![
        attack(
            "a view over the port",
            view(port.plan(&["id", "ssn"], vec![])),
            RowsOf("SELECT id, ssn FROM hr.samples.people"),
        ),
        attack("a view over all", view(port.all()), Refused(ErrorKind::PermissionDenied, "`clearance`, `rating`")),
        attack(
            "a barrier of its own",
            barrier(port.plan(&["id", "ssn"], vec![])),
            Refused(ErrorKind::InvalidQuery, "operators of other kinds do not travel"),
        ),
        attack("the port's file", files, Refused(ErrorKind::InvalidQuery, "a fragment may not hold")),
    ]
}

/// Tests for keys, in the places of conditions.
fn keyed(port: &Port, numbers: &[Bytes], texts: &[Bytes]) -> Vec<Attack> {
    let in_keys = |column: &str| {
        let data_type = port.schema.field_with_name(column).unwrap().data_type().clone();
        let function = create_udf(
            "portolan_in_keys",
            vec![data_type],
            DataType::Boolean,
            Volatility::Immutable,
            Arc::new(|_: &[ColumnarValue]| -> DataFusionResult<ColumnarValue> { internal_err!("it is not run") }),
        );
        function.call(vec![of(column)])
    };
    let filtered = |column: &str| {
        let columns = if column == "id" { vec!["id"] } else { vec!["id", column] };
        let rows = port.scan(NAME, &columns, vec![]).filter(in_keys(column)).unwrap();
        rows.project([of("id")]).unwrap().build().unwrap()
    };
    let with = |keys: &[Bytes], attack: Attack| Attack { keys: keys.to_vec(), ..attack };
    let hidden = || Refused(ErrorKind::PermissionDenied, "`rating`");
    vec![
        with(numbers, attack("keys for a hidden column", filtered("rating"), hidden())),
        with(
            numbers,
            attack(
                "keys for a hidden column inside of the scan",
                port.plan(&["id"], vec![in_keys("rating")]),
                hidden(),
            ),
        ),
        with(
            texts,
            attack(
                "raw and masked keys for a masked column",
                port.plan(&["id"], vec![in_keys("ssn")]),
                RowsOf("SELECT id FROM hr.samples.people WHERE id = 1000"),
            ),
        ),
        with(
            numbers,
            attack(
                "keys of hidden and visible rows",
                port.plan(&["id"], vec![in_keys("id")]),
                RowsOf("SELECT id FROM hr.samples.people WHERE id = 1000"),
            ),
        ),
        attack(
            "a test for keys that did not come",
            filtered("id"),
            Refused(ErrorKind::InvalidQuery, "there is no function `portolan_in_keys` over keys"),
        ),
    ]
}

/// Asserts that the owner answered as expected, without a word of the policies and without a raw value.
async fn assert_expected(forger: &Forger, attack: &Attack, outcome: Result<Vec<String>, Error>) {
    let what = attack.what;
    let text = match (&attack.expected, &outcome) {
        (RowsOf(sql), Ok(rows)) => {
            assert_eq!(*rows, forger.rows(&analyst(), &[*sql]).await.unwrap(), "{what}");
            rows.join("\n")
        }
        (Refused(kind, says), Err(error)) => {
            let said = error.chain();
            assert_eq!(error.kind(), *kind, "{what}: {said}");
            assert!(said.contains(*says), "{what}: expected `{says}`, got: {said}");
            said
        }
        (RowsOf(_), Err(error)) => panic!("{what}: {}", error.chain()),
        (Refused(..), Ok(rows)) => panic!("{what}: {} rows", rows.len()),
    };
    for secret in [HIDDEN_SSN, RAW_SSN, "clearance =", "of person 1003"] {
        assert!(!text.contains(secret), "{what}: `{secret}` shows in {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_place_in_a_plan_is_below_the_policies() {
    within(300, async {
        let mesh = GovernedMesh::start(HiddenRows::AsTheyAre).await;
        let key = mesh.data().parent().unwrap().join("gateway.pem");
        let forger = Forger::start(mesh.hr(), "gateway", &key).await;
        let name = PortRef::new("hr", "samples", "people");
        let port = Port { schema: forger.columns(&name).await };
        let forced = ["SET portolan.strategy = keys_from_left", "SET portolan.key_form = batch"];
        let keys = async |table: &str, join: &str| {
            let statements = [forced[0], forced[1], table, join];
            let fragment = forger.fragment(&analyst(), &statements).await;
            let keys = fragment.plan.encoded().unwrap().keys.clone();
            assert_eq!(keys.len(), 1, "the gateway sends keys: {join}");
            keys
        };
        let numbers = keys(
            "CREATE TABLE wanted AS SELECT 1000 AS k UNION ALL SELECT 1003",
            "SELECT id, dept FROM wanted JOIN hr.samples.people ON id = k",
        )
        .await;
        let table = format!(
            "CREATE TABLE wanted AS SELECT 'nnn-nn-1000' AS k UNION ALL SELECT '{RAW_SSN}' UNION ALL SELECT '{HIDDEN_SSN}'"
        );
        let texts = keys(&table, "SELECT id, dept FROM wanted JOIN hr.samples.people ON ssn = k").await;
        let file = mesh.data().join("people.parquet").display().to_string();
        let mut attacks = scans(&port);
        attacks.extend(others(&port, &file).await);
        attacks.extend(keyed(&port, &numbers, &texts));
        for attack in &attacks {
            let fragment = forger.handmade(&analyst(), &name, &attack.plan, &attack.keys);
            let outcome = forger.run(fragment).await;
            assert_expected(&forger, attack, outcome).await;
            // Nobody else gets more.
            let fragment = forger.handmade(&Principal::new(STRANGER), &name, &attack.plan, &attack.keys);
            let error = forger.run(fragment).await.expect_err(attack.what);
            let is_refused = matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::InvalidQuery);
            assert!(is_refused, "{}: {}", attack.what, error.chain());
        }
    })
    .await;
}

/// The estimate of a fragment does not tell whether a hidden row has a value.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn estimates_of_handmade_plans_tell_nothing() {
    within(300, async {
        let mesh = GovernedMesh::start(HiddenRows::AsTheyAre).await;
        let key = mesh.data().parent().unwrap().join("gateway.pem");
        let forger = Forger::start(mesh.hr(), "gateway", &key).await;
        let name = PortRef::new("hr", "samples", "people");
        let port = Port { schema: forger.columns(&name).await };
        let mut estimates = vec![];
        for salary in [1_003_000_i64, 1_000_000, 7] {
            let plan = port.plan(&["id"], vec![of("salary").eq(lit(salary))]);
            estimates.push(forger.estimate(forger.handmade(&analyst(), &name, &plan, &[])).await.unwrap());
        }
        assert!(estimates.iter().all(|estimate| *estimate == estimates[0]), "{estimates:?}");
        let refused = forger.estimate(forger.handmade(&analyst(), &name, &port.all(), &[])).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::PermissionDenied, "{}", refused.chain());
    })
    .await;
}
