//! Values that have no place in the type of a column are errors that name the column, and all other rows can be read.

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use portolan_catalog::DatabaseKind;
use portolan_engine::ErrorKind;
use portolan_tests::database_ports::DatabasePort;
use portolan_tests::mesh::{until, within};
use portolan_tests::rows::{assert_says, count, failure};
use serde_json::json;

use super::faults::SOON;
use super::{Warehouse, name};

/// A table with a value that a node cannot read.
struct Unreadable {
    kind: DatabaseKind,
    /// The type of the column in the database.
    stored: &'static str,
    /// The type of the column in the contract.
    data_type: DataType,
    /// A value that can be read, and one that cannot, in SQL.
    values: [&'static str; 2],
}

const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

fn cases() -> Vec<Unreadable> {
    use DatabaseKind::{MariaDb, Postgres, Sqlite};
    let case = |kind, stored, data_type, values| Unreadable { kind, stored, data_type, values };
    vec![
        case(Postgres, "date", DataType::Date32, ["'2024-02-29'", "'infinity'"]),
        case(Postgres, "date", DataType::Date32, ["'0044-03-15 BC'", "'-infinity'"]),
        case(Postgres, "timestamp", TIMESTAMP, ["'2024-02-29 12:00'", "'infinity'"]),
        case(Postgres, "numeric(10, 2)", DataType::Decimal128(10, 2), ["1.25", "'NaN'"]),
        case(Postgres, "time", DataType::Time64(TimeUnit::Microsecond), ["'23:59:59.999999'", "'24:00:00'"]),
        case(MariaDb, "date", DataType::Date32, ["'2024-02-29'", "'0000-00-00'"]),
        case(MariaDb, "date", DataType::Date32, ["'2024-02-29'", "'2024-02-00'"]),
        case(MariaDb, "datetime(6)", TIMESTAMP, ["'2024-02-29 12:00'", "'0000-00-00 00:00'"]),
        case(MariaDb, "time(6)", DataType::Time64(TimeUnit::Microsecond), ["'23:59:59.999999'", "'25:00:00'"]),
        case(MariaDb, "tinyint(1)", DataType::Boolean, ["1", "5"]),
        case(Sqlite, "integer", DataType::Int64, ["9223372036854775807", "'abc'"]),
        case(Sqlite, "integer", DataType::Int64, ["-1", "9223372036854775808"]),
        case(Sqlite, "real", DataType::Float64, ["1.5", "x'00'"]),
        case(Sqlite, "text", DataType::Date32, ["'2024-02-29'", "'29.02.2024'"]),
        case(Sqlite, "text", DataType::Decimal128(10, 2), ["'1.25'", "'1.255'"]),
        case(Sqlite, "integer", DataType::Boolean, ["1", "2"]),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_that_does_not_fit_is_an_error_that_names_the_column() {
    within(300, async {
        for (i, case) in cases().iter().enumerate() {
            let Unreadable { kind, stored, data_type, values: [good, bad] } = case;
            let what = format!("{kind:?}, {stored}, {bad}");
            let mut statements = vec![
                format!("CREATE TABLE readings (id bigint, value {stored})"),
                format!("INSERT INTO readings VALUES (1, {good}), (2, {bad}), (3, NULL)"),
            ];
            if *kind == DatabaseKind::MariaDb {
                statements.insert(0, "SET sql_mode = ''".into());
            }
            let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
            let columns = [("id", DataType::Int64), ("value", data_type.clone())];
            let schema = Schema::new(columns.map(|(name, data_type)| Field::new(name, data_type, true)).to_vec());
            let ports = [DatabasePort::table("readings", &schema)];
            let name = name(*kind, &format!("unreadable_{i}"));
            let Some(warehouse) = Warehouse::start(*kind, &name, &statements, &ports, &json!({})).await else {
                continue;
            };
            let client = warehouse.node.client().await;
            let error = failure(&client, "SELECT id, value FROM lab.samples.readings").await;
            println!("{what}: {}", error.chain());
            assert_says(&error, ErrorKind::InvalidData, &["lab.samples.readings", "value"]);
            let rest = "SELECT count(value) FROM lab.samples.readings WHERE id <> 2";
            assert_eq!(count(&client, rest).await, Ok(1), "{what}");
            warehouse.has_no_secret(&[&error.chain()]);
            until("the database runs nothing", SOON, async || warehouse.database.running().await == 0).await;
        }
    })
    .await;
}
