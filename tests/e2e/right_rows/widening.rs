//! Folders whose files have a column in several types. One of the types can represent the values of all files, and the
//! column is read as that type. DataFusion has one schema for a table. It moves casts between units of time to the
//! other side of a comparison, and truncates the literal there.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, DictionaryArray, Float32Array, Float64Array, Int32Array, Int64Array, StringArray, StructArray,
    TimestampMicrosecondArray, TimestampMillisecondArray, UInt32Array,
};
use arrow::datatypes::{DataType, Field, Int32Type};
use portolan_engine::ErrorKind;
use portolan_tests::mesh::within;
use portolan_tests::ways::{table, write_parquet};

use super::folders::{Folders, write_arrow};

fn structs(fields: Vec<(&str, ArrayRef)>) -> ArrayRef {
    let fields =
        fields.into_iter().map(|(name, array)| (Arc::new(Field::new(name, array.data_type().clone(), true)), array));
    Arc::new(StructArray::from(fields.collect::<Vec<_>>()))
}

/// Adds two ports with both orders of the files: the node sees the file `1` first.
fn ports(
    folders: &mut Folders,
    domain: &'static str,
    name: [&'static str; 2],
    logical: &'static str,
    files: [ArrayRef; 2],
) {
    let [a, b] = files.map(|column| table(vec![("c", column)]));
    for (name, first, second) in [(name[0], &a, &b), (name[1], &b, &a)] {
        let parquet = folders.port(domain, name, if domain == "west" { "arrow" } else { "parquet" }, &[("c", logical)]);
        write_parquet(&parquet.join("1.parquet"), first);
        write_parquet(&parquet.join("2.parquet"), second);
        write_arrow(&parquet.join("1.arrow"), first);
        write_arrow(&parquet.join("2.arrow"), second);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_read_as_the_widest_type() {
    within(900, async {
        let mut folders = Folders::new();
        for domain in ["east", "west"] {
            let narrow: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), Some(-2), None]));
            let wide: ArrayRef = Arc::new(Int64Array::from(vec![5_000_000_000, 1]));
            ports(&mut folders, domain, ["int1", "int2"], "integer", [narrow.clone(), wide.clone()]);
            let unsigned: ArrayRef = Arc::new(UInt32Array::from(vec![4_000_000_000]));
            ports(&mut folders, domain, ["sign1", "sign2"], "integer", [narrow, unsigned]);
            let plain: ArrayRef = Arc::new(StringArray::from(vec![Some("b"), None]));
            let dictionary: DictionaryArray<Int32Type> = vec![Some("a"), Some("b"), None].into_iter().collect();
            ports(&mut folders, domain, ["dict1", "dict2"], "string", [plain, Arc::new(dictionary)]);
            let millis: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![Some(1), Some(2_000), None]));
            let micros: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![1_500, 1_000]));
            ports(&mut folders, domain, ["time1", "time2"], "timestamp", [millis, micros]);
            let short: ArrayRef = Arc::new(Float32Array::from(vec![0.5, 0.1]));
            let long: ArrayRef = Arc::new(Float64Array::from(vec![0.1, 1e300]));
            ports(&mut folders, domain, ["float1", "float2"], "number", [short, long.clone()]);
            let before = structs(vec![("a", Arc::new(Int32Array::from(vec![1, 2])))]);
            let after = structs(vec![
                ("b", Arc::new(StringArray::from(vec!["x"]))),
                ("a", Arc::new(Int64Array::from(vec![5_000_000_000]))),
            ]);
            ports(&mut folders, domain, ["struct1", "struct2"], "object", [before, after]);
            ports(&mut folders, domain, ["mixed1", "mixed2"], "number", [wide, long]);
        }
        let ways = folders.start().await.unwrap();
        for domain in ["east.samples", "west.samples"] {
            for i in [1, 2] {
                let port = |name: &str| format!("{domain}.{name}{i}");
                let int = port("int");
                ways.gives(&format!("SELECT c FROM {int}"), &["1", "-2", "NULL", "5000000000", "1"]).await;
                ways.gives(&format!("SELECT c FROM {int} WHERE c = 1"), &["1", "1"]).await;
                ways.gives(&format!("SELECT c FROM {int} WHERE c > 2147483648"), &["5000000000"]).await;
                ways.gives(&format!("SELECT min(c), max(c), count(c) FROM {int}"), &["-2|5000000000|4"]).await;
                let sign = port("sign");
                ways.gives(&format!("SELECT c FROM {sign} WHERE c <> 1"), &["-2", "4000000000"]).await;
                let dict = port("dict");
                ways.gives(&format!("SELECT c FROM {dict} WHERE c = 'b'"), &["b", "b"]).await;
                ways.gives(&format!("SELECT c, count(*) FROM {dict} GROUP BY c"), &["a|1", "b|2", "NULL|2"]).await;
                let time = port("time");
                let at = "TIMESTAMP '1970-01-01 00:00:00";
                ways.gives(&format!("SELECT count(*) FROM {time} WHERE c = {at}.0015'"), &["1"]).await;
                ways.gives(
                    &format!("SELECT c FROM {time} WHERE c < {at}.0015'"),
                    &["1970-01-01T00:00:00.001", "1970-01-01T00:00:00.001"],
                )
                .await;
                ways.gives(&format!("SELECT max(c), count(c) FROM {time}"), &["1970-01-01T00:00:02|4"]).await;
                let float = port("float");
                ways.gives(&format!("SELECT c FROM {float} WHERE c >= 0.25"), &["0.5", "1e300"]).await;
                ways.gives(&format!("SELECT count(DISTINCT c) FROM {float}"), &["4"]).await;
                let object = port("struct");
                ways.gives(&format!("SELECT c['a'], c['b'] FROM {object}"), &["1|NULL", "2|NULL", "5000000000|x"])
                    .await;
                ways.gives(&format!("SELECT c['a'] FROM {object} WHERE c['b'] IS NULL"), &["1", "2"]).await;
                let mixed = port("mixed");
                ways.gives(&format!("SELECT c FROM {mixed} WHERE c > 0.5"), &["5000000000.0", "1.0", "1e300"]).await;
            }
        }
        let joined = "SELECT a.c FROM east.samples.int1 AS a JOIN west.samples.int2 AS b ON a.c = b.c";
        ways.gives(joined, &["1", "1", "1", "1", "-2", "5000000000"]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_that_does_not_fit_exactly_is_refused() {
    within(300, async {
        let mut folders = Folders::new();
        let beyond: ArrayRef = Arc::new(Int64Array::from(vec![9_007_199_254_740_993, 1]));
        let doubles: ArrayRef = Arc::new(Float64Array::from(vec![0.5]));
        ports(&mut folders, "east", ["m1", "m2"], "number", [beyond, doubles]);
        let ways = folders.start().await.unwrap();
        for (port, file) in [("m1", "1.parquet"), ("m2", "2.parquet")] {
            let sql = format!("SELECT c FROM east.samples.{port}");
            ways.refuses(&sql, ErrorKind::SiteUnavailable, &[port, file, "`c`", "Int64", "Float64"]).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_file_may_have_a_narrower_type() {
    within(300, async {
        let mut folders = Folders::new();
        let east = folders.port("east", "n", "parquet", &[("c", "integer")]);
        let west = folders.port("west", "t", "parquet", &[("c", "timestamp")]);
        let wide: ArrayRef = Arc::new(Int64Array::from(vec![5_000_000_000]));
        write_parquet(&east.join("1.parquet"), &table(vec![("c", wide)]));
        let micros: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![1_500]));
        write_parquet(&west.join("1.parquet"), &table(vec![("c", micros)]));
        let ways = folders.start().await.unwrap();
        ways.gives("SELECT count(*) FROM east.samples.n, west.samples.t", &["1"]).await;
        let narrow: ArrayRef = Arc::new(Int32Array::from(vec![Some(7), None]));
        assert_eq!(narrow.data_type(), &DataType::Int32);
        write_parquet(&east.join("2.parquet"), &table(vec![("c", narrow)]));
        let millis: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![1]));
        write_parquet(&west.join("2.parquet"), &table(vec![("c", millis)]));
        ways.gives("SELECT c FROM east.samples.n", &["5000000000", "7", "NULL"]).await;
        ways.gives("SELECT min(c), max(c), count(c), count(*) FROM east.samples.n", &["7|5000000000|2|3"]).await;
        ways.gives(
            "SELECT c FROM west.samples.t WHERE c < TIMESTAMP '1970-01-01 00:00:00.0015'",
            &["1970-01-01T00:00:00.001"],
        )
        .await;
        let sql = "SELECT min(t.c), n.c FROM east.samples.n AS n, west.samples.t AS t WHERE n.c < 10 GROUP BY n.c";
        ways.gives(sql, &["1970-01-01T00:00:00.001|7"]).await;
    })
    .await;
}
