//! Columns of maps, lists and structs in joins. Statements that DataFusion plans as another statement, or refuses with
//! an internal error.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, Int64Builder, ListArray, MapBuilder, StringBuilder, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field};
use portolan_engine::ErrorKind;
use portolan_tests::mesh::within;
use portolan_tests::ways::{Ways, table};

fn maps(values: [Option<i64>; 2]) -> ArrayRef {
    let mut maps = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
    for value in values {
        if let Some(value) = value {
            maps.keys().append_value("a");
            maps.values().append_value(value);
        }
        maps.append(value.is_some()).unwrap();
    }
    Arc::new(maps.finish())
}

/// Lists whose items have the name that Parquet gives them.
fn lists(values: [i64; 2]) -> ArrayRef {
    let item = Arc::new(Field::new("element", DataType::Int64, true));
    let offsets = OffsetBuffer::from_lengths([1, 1]);
    Arc::new(ListArray::new(item, offsets, Arc::new(Int64Array::from(values.to_vec())), None))
}

fn structs(values: [i64; 2]) -> ArrayRef {
    let field = Arc::new(Field::new("f", DataType::Int64, true));
    Arc::new(StructArray::from(vec![(field, Arc::new(Int64Array::from(values.to_vec())) as ArrayRef)]))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_columns_are_joined() {
    within(600, async {
        let rows = |x: [i64; 2], m: [Option<i64>; 2]| {
            table(vec![
                ("x", Arc::new(Int64Array::from(x.to_vec()))),
                ("m", maps(m)),
                ("l", lists(x)),
                ("s", structs(x)),
            ])
        };
        let east = rows([1, 2], [Some(1), None]);
        let west = rows([2, 3], [Some(1), Some(7)]);
        let ways = Ways::of_tables(&[("east", "a", east), ("west", "b", west)]).await;
        let joined = |condition: &str| {
            format!("SELECT a.x, b.x AS y FROM east.samples.a AS a JOIN west.samples.b AS b ON {condition}")
        };

        ways.gives(&joined("a.s['f'] + 1 = b.x"), &["1|2", "2|3"]).await;
        ways.gives(&joined("a.s['f'] = b.s['f']"), &["2|2"]).await;
        ways.gives(&joined("b.s['f'] - 1 = a.s['f'] * 1"), &["1|2", "2|3"]).await;
        ways.gives(&joined("a.m = b.m"), &["1|2"]).await;
        ways.gives(&joined("a.l = b.l"), &["2|2"]).await;
        ways.gives("SELECT l FROM east.samples.a UNION SELECT l FROM west.samples.b", &["[1]", "[2]", "[3]"]).await;
        ways.gives("SELECT l FROM east.samples.a EXCEPT ALL SELECT [2]", &["[1]"]).await;
        ways.gives("SELECT x FROM east.samples.a WHERE l = [2]", &["2"]).await;
        ways.gives("SELECT x FROM east.samples.a WHERE l IN ([2], [5])", &["2"]).await;

        ways.gives("DESCRIBE SELECT x, 1 AS one FROM east.samples.a", &["x|BIGINT|YES", "one|BIGINT|NO"]).await;
        ways.gives("DESCRIBE SELECT CASE WHEN x = 1 THEN 1 ELSE 2.5 END AS c FROM east.samples.a", &["c|DOUBLE|NO"])
            .await;
        ways.gives("DESCRIBE SELECT 'a' AS b, [1, 2] AS c", &["b|VARCHAR|NO", "c|BIGINT[]|YES"]).await;
        ways.gives("FROM east.samples.a |> SELECT x |> WHERE x > 1", &["2"]).await;
        ways.gives("FROM (VALUES (1, 'a')) AS t(x, y)", &["1|a"]).await;
        ways.refuses(
            "SELECT input_file_name() FROM east.samples.a",
            ErrorKind::Unsupported,
            &["input_file_name", "file"],
        )
        .await;
        let both = "CREATE OR REPLACE TABLE IF NOT EXISTS t AS SELECT 1 AS x";
        ways.refuses(both, ErrorKind::InvalidQuery, &["OR REPLACE", "IF NOT EXISTS", "not both"]).await;
    })
    .await;
}
