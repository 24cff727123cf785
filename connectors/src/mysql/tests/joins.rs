//! Semi, anti and mark joins of tables without an index, at the server: their rows with NULL among the keys, and their time.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::{JoinType, NullEquality};
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::{Expr, Join, JoinConstraint, LogicalPlan, LogicalPlanBuilder, TableScan, table_scan};
use datafusion::prelude::{col, lit};

use super::server::server;
use super::{cells, rows};
use crate::sql::{ColumnUsage, MARIADB, SqlColumn, SqlTable, query, quoted_name};

const COLUMNS: [(&str, DataType); 4] =
    [("id", DataType::Int32), ("k", DataType::Int32), ("s", DataType::Utf8), ("d", DataType::Decimal128(12, 4))];

/// The left table has the keys 1 to 20,000 and NULL, the right one the even keys from 2 to 40,000 and NULL. The columns of
/// strings have collations that do not go together.
const TABLES: &str = "\
    CREATE TABLE l (id INT, k INT, s VARCHAR(20) COLLATE utf8mb4_general_ci, d DECIMAL(12,4));\
    CREATE TABLE r (id INT, k INT, s VARCHAR(20) COLLATE utf8mb4_unicode_ci, d DECIMAL(12,4));\
    INSERT INTO l SELECT seq, seq, concat('k', seq), seq FROM seq_1_to_20000;\
    INSERT INTO r SELECT seq, seq * 2, concat(if(seq = 1, 'K', 'k'), seq * 2), seq * 2 FROM seq_1_to_20000;\
    INSERT INTO l VALUES (20001, NULL, NULL, NULL);\
    INSERT INTO r VALUES (20001, NULL, NULL, NULL)";

fn scanned(table: &str) -> LogicalPlan {
    let fields: Vec<Field> = COLUMNS.iter().map(|(name, t)| Field::new(*name, t.clone(), true)).collect();
    table_scan(Some(table), &Schema::new(fields), None).unwrap().build().unwrap()
}

fn table(scan: &TableScan) -> Option<Arc<SqlTable>> {
    let quoted = |name: &str| quoted_name(name, &MARIADB);
    let column =
        |name: &str| SqlColumn { name: name.into(), sql: format!("t.{}", quoted(name)), usage: ColumnUsage::All };
    let columns = COLUMNS.iter().map(|(name, _)| column(name)).collect();
    Some(Arc::new(SqlTable { from: quoted(scan.table_name.table()), columns, has_ranges: false, is_stored: true }))
}

/// Returns the query that counts the rows of a join by one column.
fn counted(join_type: JoinType, column: &str, nulls: NullEquality, filter: Option<Expr>) -> String {
    let on = vec![(col(format!("l.{column}")), col(format!("r.{column}")))];
    let (left, right) = (Arc::new(scanned("l")), Arc::new(scanned("r")));
    let join = Join::try_new(left, right, on, filter, join_type, JoinConstraint::On, nulls, false).unwrap();
    let mut plan = LogicalPlanBuilder::from(LogicalPlan::Join(join));
    if join_type == JoinType::LeftMark {
        plan = plan.filter(col("mark").or(col("l.id").eq(lit(1)))).unwrap();
    }
    let plan = plan.aggregate(Vec::<Expr>::new(), [count(col("id"))]).unwrap().build().unwrap();
    query(&plan, &MARIADB, &table).unwrap_or_else(|refusal| panic!("{refusal}")).text
}

#[tokio::test]
async fn keys_without_an_index_are_hashed() {
    use JoinType::{LeftAnti, LeftMark, LeftSemi, RightAnti};
    use NullEquality::{NullEqualsNothing as Nothing, NullEqualsNull as Null};
    let Some(server) = server().await else { return };
    let database = server.database("hashed", TABLES).await;
    let another = || Some(col("l.id").not_eq(col("r.id")));
    // `k2` and `K2` are different strings. Row by row, each of these joins takes longer than a query may here.
    for (join_type, column, nulls, filter, expected) in [
        (LeftSemi, "k", Nothing, None, "10000"),
        (LeftAnti, "k", Nothing, None, "10001"),
        (RightAnti, "k", Nothing, None, "10001"),
        (LeftMark, "k", Nothing, None, "10001"),
        (LeftSemi, "k", Null, None, "10001"),
        (LeftAnti, "k", Null, None, "10000"),
        (LeftAnti, "k", Nothing, another(), "10001"),
        (LeftSemi, "s", Nothing, None, "9999"),
        (LeftAnti, "s", Nothing, None, "10002"),
        (RightAnti, "s", Nothing, None, "10002"),
        (LeftMark, "s", Nothing, None, "10000"),
        (LeftSemi, "s", Null, None, "10000"),
        (LeftAnti, "s", Null, None, "10001"),
        (LeftMark, "s", Null, None, "10001"),
        (LeftAnti, "d", Nothing, None, "10001"),
        (LeftMark, "d", Null, None, "10002"),
        (LeftAnti, "d", Nothing, another(), "10001"),
    ] {
        let sql = counted(join_type, column, nulls, filter);
        let found = rows(&database, &sql, &[("n", DataType::Int64)]).await;
        let found = found.unwrap_or_else(|e| panic!("{}: {sql}", e.chain()));
        assert_eq!(cells(&found), [expected], "{sql}");
    }
    server.wait_until_clean("hashed").await;
}

#[tokio::test]
async fn a_long_list_of_numbers_uses_the_index() {
    let Some(server) = server().await else { return };
    let ddl = "CREATE TABLE t (k INT, KEY (k)); INSERT INTO t SELECT seq FROM seq_1_to_100000; ANALYZE TABLE t";
    let database = server.database("listed", ddl).await;
    let keys: Vec<String> = (1..=2000).map(|key| (key * 7).to_string()).collect();
    let sql = format!("EXPLAIN FORMAT=JSON SELECT t.k AS c0 FROM t WHERE (t.k IN ({}))", keys.join(", "));
    let plan = cells(&rows(&database, &sql, &[("plan", DataType::Utf8)]).await.unwrap()).concat();
    assert!(plan.contains("\"range\"") && !plan.contains("materialized"), "{plan}");
    server.wait_until_clean("listed").await;
}
