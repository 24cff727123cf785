//! Tables, views and queries as the database describes them.

use super::*;
use crate::databases::{Reference, TableName};
use crate::error::ErrorKind;
use crate::sql::ColumnUsage::{All, Returned};

fn types(table: &DescribedTable) -> Vec<(&str, std::result::Result<DataType, String>)> {
    table.columns.iter().map(|column| (column.name.as_str(), column.data_type.clone())).collect()
}

#[tokio::test]
async fn declared_types_decide_where_the_contract_does_not() {
    let file = File::new(
        "CREATE TABLE t (i INTEGER, s VARCHAR(10), r DOUBLE, b BLOB, d DATE, z DATETIME, f BOOLEAN, n DECIMAL(10,2),
           untyped, bare, g GENERATED ALWAYS AS (i + 1) VIRTUAL);
         INSERT INTO t (i, untyped) VALUES (1, 'x')",
    );
    let table = file.describe("T", &[]).await.unwrap();
    let nothing = "it has no declared type, and no values that show one; set `logicalType` in the contract";
    assert_eq!(
        types(&table),
        [
            ("i", Ok(DataType::Int64)),
            ("s", Ok(DataType::Utf8)),
            ("r", Ok(DataType::Float64)),
            ("b", Ok(DataType::Binary)),
            ("d", Ok(DataType::Date32)),
            ("z", Ok(MICROS)),
            ("f", Ok(DataType::Boolean)),
            ("n", Ok(DataType::Decimal128(10, 2))),
            ("untyped", Ok(DataType::Utf8)),
            ("bare", Err(nothing.to_owned())),
            ("g", Ok(DataType::Int64)),
        ]
    );
    assert_eq!(table.columns[7].native_type, "DECIMAL(10,2)");
}

#[tokio::test]
async fn the_contract_decides_if_the_column_can_have_such_values() {
    let file = File::new("CREATE TABLE t (s TEXT, i INTEGER, n NUMERIC, r REAL)");
    let wanted = [("s", DataType::Date32), ("i", DataType::Utf8), ("n", DataType::Float64), ("R", DataType::Int64)];
    let table = file.describe("t", &wanted).await.unwrap();
    assert_eq!(
        types(&table),
        [
            ("s", Ok(DataType::Date32)),
            // Values of these types would be stored as others.
            ("i", Ok(DataType::Int64)),
            ("n", Ok(DataType::Float64)),
            ("r", Ok(DataType::Float64)),
        ]
    );
}

#[tokio::test]
async fn keys_and_constraints_are_those_that_sqlite_checks() {
    let file = File::new(
        "CREATE TABLE customers (id INTEGER PRIMARY KEY, email TEXT NOT NULL UNIQUE,
           state TEXT CHECK (state IN ('new', 'old')));
         CREATE TABLE orders (a TEXT, b INT, customer INTEGER REFERENCES customers, PRIMARY KEY (b, a),
           FOREIGN KEY (a) REFERENCES customers (email));
         CREATE TABLE pairs (a TEXT, b INT, PRIMARY KEY (b, a)) WITHOUT ROWID;
         CREATE TABLE strict (a TEXT PRIMARY KEY) STRICT;
         CREATE UNIQUE INDEX partial ON orders (customer) WHERE customer > 1;
         CREATE UNIQUE INDEX computed ON orders (lower(a))",
    );
    let table = file.describe("customers", &[]).await.unwrap();
    let flags = |table: &DescribedTable| -> Vec<(bool, bool)> {
        table.columns.iter().map(|column| (column.nullable, column.unique)).collect()
    };
    assert_eq!(flags(&table), [(false, true), (false, true), (true, false)]);
    assert_eq!(table.columns[2].enumeration, ["new", "old"]);
    assert_eq!(table.primary_key, ["id"]);
    let table = file.describe("orders", &[]).await.unwrap();
    assert_eq!(flags(&table), [(true, false), (true, false), (true, false)]);
    assert_eq!(table.primary_key, ["b", "a"]);
    let reference = |column: &str, referenced: &str| Reference {
        name: None,
        columns: vec![column.to_owned()],
        schema: None,
        table: "customers".to_owned(),
        referenced_columns: vec![referenced.to_owned()],
    };
    assert_eq!(table.references, [reference("a", "email"), reference("customer", "id")]);
    assert_eq!(flags(&file.describe("strict", &[]).await.unwrap()), [(false, true)]);
    let table = file.describe("pairs", &[]).await.unwrap();
    assert_eq!(flags(&table), [(false, false), (false, false)]);
}

#[tokio::test]
async fn views_and_queries_have_columns() {
    let file = File::new(
        "CREATE TABLE t (a INTEGER, b TEXT COLLATE NOCASE); INSERT INTO t VALUES (1, 'x'), (2, 'Y');
         CREATE VIEW v AS SELECT a, b, a + 1 AS next FROM t; CREATE VIEW dice AS SELECT random() AS r FROM t",
    );
    let view = file.describe("v", &[]).await.unwrap();
    assert_eq!(types(&view), [("a", Ok(DataType::Int64)), ("b", Ok(DataType::Utf8)), ("next", Ok(DataType::Int64))]);
    assert_eq!(usages(&view), [("a", All), ("b", All), ("next", All)]);
    assert!(view.columns[1].sql.starts_with("(+t.\"b\" COLLATE BINARY)"), "{}", view.columns[1].sql);
    assert_eq!(usages(&file.describe("dice", &[]).await.unwrap()), [("r", Returned)]);
    let query = file.describe_query("WITH w AS (SELECT b FROM t) SELECT b, 1.5 AS x FROM w -- all", &[]).await.unwrap();
    assert_eq!(types(&query), [("b", Ok(DataType::Utf8)), ("x", Ok(DataType::Float64))]);
    assert_eq!(file.describe_query("SELECT 1 AS a", &[]).await.unwrap().columns.len(), 1);
    for text in [
        "SELECT 1; SELECT 2",
        "SELECT 1;",
        "INSERT INTO t VALUES (1, 'x')",
        "PRAGMA user_version",
        "EXPLAIN SELECT 1",
        "SELECT ?1",
        "ATTACH 'x' AS y",
        "SELECT load_extension('x')",
        "SELECT 1) AS t, (SELECT 2",
        "SELECT a, a FROM t",
        "",
    ] {
        let error = file.describe_query(text, &[]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidQuery, "{text}: {error}");
    }
    assert_eq!(file.values("SELECT count(*) FROM t", DataType::Int64).await.unwrap(), ["2"]);
}

#[tokio::test]
async fn names_that_do_not_exist_have_suggestions() {
    let file = File::new("CREATE TABLE orders (a); CREATE VIEW paid AS SELECT a FROM orders");
    let error = file.describe("order", &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(message(&error), "SQLite `shop`: there is no table or view `order`; did you mean `orders`?");
    let listed = file.database.tables(Some("main"), soon()).await.unwrap();
    let name = |name: &str, is_view| TableName { schema: None, name: name.to_owned(), is_view };
    assert_eq!(listed, [name("orders", false), name("paid", true)]);
    let error = file.database.tables(Some("public"), soon()).await.unwrap_err();
    assert_eq!(message(&error), "SQLite `shop`: there is no schema `public`: a SQLite file has only the schema `main`");
}

#[tokio::test]
async fn statistics_come_from_indexes_and_analyze() {
    use portolan_catalog::StatisticValue::{Number, Text};
    let file = File::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, d DATE, s TEXT); CREATE INDEX i ON t (d);
         INSERT INTO t VALUES (1, '1970-01-02', 'a'), (5, '1970-01-11', 'b'), (7, '1970-01-11', 'c')",
    );
    let relation = DatabaseRelation::Table { schema: None, name: "t".to_owned() };
    let table = file.describe("t", &[]).await.unwrap();
    let known = file.database.statistics(&relation, &table, soon()).await.unwrap();
    assert_eq!(known.rows, Some(3));
    let of = |name: &str| known.columns.get(name).map(|c| (c.min.clone(), c.max.clone(), c.distinct, c.nulls));
    assert_eq!(of("id"), Some((Some(Number(1.0)), Some(Number(7.0)), Some(3), Some(0))));
    assert_eq!(of("d"), Some((Some(Number(1.0)), Some(Number(10.0)), None, None)));
    assert_eq!(of("s"), None);
    file.write("CREATE INDEX j ON t (s); ANALYZE; DELETE FROM t WHERE id = 7");
    let known = file.database.statistics(&relation, &table, soon()).await.unwrap();
    assert_eq!(known.rows, Some(3));
    assert_eq!(known.columns["d"].distinct, Some(1));
    assert_eq!(known.columns["s"].min, Some(Text("a".to_owned())));
}
