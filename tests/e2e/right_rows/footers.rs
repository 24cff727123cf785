//! Footers of Parquet files that do not describe every row: bounds omit NaN, row groups have no bounds, or NULLs are
//! not counted. The values of a column, the rows of a filter, and `min`, `max` and `count` must not depend on them.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, Float64Array, Int64Array, RecordBatch, StringArray};
use portolan_tests::mesh::within;
use portolan_tests::parquet_files::{LeftOut, leave_out, write_groups};
use portolan_tests::products::{PortFile, write_domain};
use portolan_tests::ways::{Ways, table};
use tempfile::TempDir;

const NAN: f64 = f64::NAN;

fn doubles(values: &[f64]) -> ArrayRef {
    Arc::new(Float64Array::from(values.to_vec()))
}

fn integers(values: &[Option<i64>]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn strings(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

/// Files of two domains, one for each port.
struct Files {
    folder: TempDir,
    ports: Vec<(&'static str, PortFile)>,
}

impl Files {
    fn new() -> Self {
        Self { folder: TempDir::new().unwrap(), ports: vec![] }
    }

    /// Adds a port of one file with these row groups. The footer omits some statistics, given by column, row group and
    /// kind.
    fn port(
        &mut self,
        (domain, name): (&'static str, &'static str),
        columns: &[(&'static str, &'static str)],
        groups: &[RecordBatch],
        left_out: &[(&str, Option<usize>, LeftOut)],
    ) {
        let file = self.folder.path().join(format!("{domain}.{name}.parquet"));
        write_groups(&file, groups);
        for (column, group, what) in left_out {
            leave_out(&file, column, *group, *what);
        }
        self.ports.push((domain, PortFile::local(name, &file, "parquet", columns)));
    }

    async fn ways(&self) -> Ways {
        let homes = ["east", "west"].map(|domain| {
            let home = self.folder.path().join(domain);
            let ports = self.ports.iter().filter(|(of, _)| *of == domain).map(|(_, port)| port.clone());
            write_domain(domain, &home, &ports.collect::<Vec<_>>());
            (domain, home.join("products"))
        });
        Ways::start(&homes).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bounds_of_floats_do_not_cover_nan() {
    within(600, async {
        let mut files = Files::new();
        let numbers: &[_] = &[("id", "integer"), ("x", "number")];
        let rows = |ids: &[i64], x: &[f64]| {
            table(vec![("id", integers(&ids.iter().copied().map(Some).collect::<Vec<_>>())), ("x", doubles(x))])
        };
        // According to the footer, the column is 5 in every row.
        files.port(("east", "constant"), numbers, &[rows(&[1, 2], &[5.0, NAN])], &[]);
        // The first row group has 5. The second has 2048 to 2050 and a NaN.
        let groups = [rows(&[1, 2, 3], &[5.0; 3]), rows(&[4, 5, 6, 7], &[2048.0, 2049.0, 2050.0, NAN])];
        files.port(("west", "steps"), numbers, &groups, &[]);
        files.port(
            ("east", "a"),
            numbers,
            &[rows(&[1, 2, 3], &[3.0, NAN, 3.0]), rows(&[4, 5, 6], &[5.0, NAN, NAN])],
            &[],
        );
        let small: ArrayRef = Arc::new(Float32Array::from(vec![Some(1.5), Some(f32::NAN), None]));
        let small = table(vec![("id", integers(&[Some(1), Some(2), Some(3)])), ("x", small)]);
        files.port(("west", "small"), numbers, &[small], &[]);
        let nothing = table(vec![("id", integers(&[])), ("x", doubles(&[]))]);
        files.port(("west", "nothing"), numbers, &[nothing], &[]);
        let ways = files.ways().await;

        ways.gives("SELECT x FROM east.samples.constant", &["5.0", "NaN"]).await;
        ways.gives("SELECT id FROM east.samples.constant WHERE x = 5", &["1"]).await;
        ways.gives("SELECT id FROM east.samples.constant WHERE x > 5", &["2"]).await;
        ways.gives("SELECT id, x FROM east.samples.constant WHERE NOT x <= 5", &["2|NaN"]).await;
        ways.gives("SELECT sum(x) FROM west.samples.steps WHERE x <> 'NaN'::double", &["6162.0"]).await;
        ways.gives("SELECT count(*) FROM west.samples.steps WHERE x > 2050", &["1"]).await;
        ways.gives("SELECT id FROM west.samples.small WHERE x > 2", &["2"]).await;
        ways.gives("SELECT max(x), min(x), count(x) FROM west.samples.small", &["NaN|1.5|2"]).await;
        ways.gives("SELECT max(x), count(x) FROM west.samples.nothing WHERE x > 2", &["NULL|0"]).await;

        let x = |condition: &str| format!("SELECT x FROM east.samples.a WHERE {condition}");
        ways.gives(&x("x <> 3"), &["NaN", "5.0", "NaN", "NaN"]).await;
        ways.gives(&x("x = 'NaN'::double"), &["NaN", "NaN", "NaN"]).await;
        ways.gives(&x("x > 4"), &["NaN", "5.0", "NaN", "NaN"]).await;
        ways.gives(&x("x > 100"), &["NaN", "NaN", "NaN"]).await;
        ways.gives(&x("x IN (3, 100)"), &["3.0", "3.0"]).await;
        ways.gives(&x("x BETWEEN 2 AND 4"), &["3.0", "3.0"]).await;
        ways.gives(&x("NOT (x BETWEEN 2 AND 4)"), &["NaN", "5.0", "NaN", "NaN"]).await;
        ways.gives(&x("x IN (SELECT x FROM west.samples.steps)"), &["NaN", "5.0", "NaN", "NaN"]).await;
        ways.gives("SELECT max(x), min(x), count(x) FROM east.samples.a", &["NaN|3.0|6"]).await;
        ways.gives("SELECT max(x) FROM east.samples.a WHERE id <> 2", &["NaN"]).await;
        ways.gives("SELECT x FROM east.samples.a ORDER BY x DESC LIMIT 2", &["NaN", "NaN"]).await;
        ways.gives("SELECT x FROM east.samples.a WHERE x >= 5 ORDER BY x LIMIT 2", &["5.0", "NaN"]).await;
        ways.gives("SELECT id FROM east.samples.a WHERE x >= 5 AND id < 5 ORDER BY id DESC LIMIT 5", &["4", "2"]).await;
        ways.gives(
            "SELECT a.id, s.id FROM east.samples.a a JOIN west.samples.steps s ON a.x = s.x WHERE a.x > 5",
            &["2|7", "5|7", "6|7"],
        )
        .await;
        ways.gives(
            "SELECT x, count(*) FROM (SELECT x FROM east.samples.a UNION ALL SELECT x FROM west.samples.steps) \
             WHERE x > 4 GROUP BY x ORDER BY x",
            &["5.0|4", "2048.0|1", "2049.0|1", "2050.0|1", "NaN|4"],
        )
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bounds_of_some_row_groups_are_not_those_of_the_file() {
    within(600, async {
        let mut files = Files::new();
        let columns: &[_] = &[("v", "integer"), ("s", "string")];
        let rows = |v: &[i64], s: &[&str]| {
            table(vec![("v", integers(&v.iter().copied().map(Some).collect::<Vec<_>>())), ("s", strings(s))])
        };
        let groups = [rows(&[7, 7], &["k", "k"]), rows(&[3, 9], &["a", "z"])];
        for (domain, name, what) in [("east", "everything", LeftOut::Everything), ("west", "bounds", LeftOut::Bounds)] {
            files.port((domain, name), columns, &groups, &[("v", Some(1), what), ("s", Some(1), what)]);
        }
        // A row group of NULLs needs no bounds.
        let nulls =
            table(vec![("v", integers(&[None, None])), ("s", Arc::new(StringArray::from(vec![None::<&str>, None])))]);
        files.port(("west", "nulls"), columns, &[nulls, rows(&[4, 6], &["b", "c"])], &[]);
        let ways = files.ways().await;
        for port in ["east.samples.everything", "west.samples.bounds"] {
            ways.gives(&format!("SELECT v, s FROM {port}"), &["7|k", "7|k", "3|a", "9|z"]).await;
            ways.gives(&format!("SELECT s FROM {port} WHERE v = 3"), &["a"]).await;
            ways.gives(&format!("SELECT v FROM {port} WHERE s = 'z'"), &["9"]).await;
            ways.gives(&format!("SELECT v FROM {port} WHERE s > 'k'"), &["9"]).await;
            ways.gives(&format!("SELECT min(v), max(v), min(s), max(s) FROM {port}"), &["3|9|a|z"]).await;
            ways.gives(&format!("SELECT count(v), count(*) FROM {port} WHERE v <> 7"), &["2|2"]).await;
            ways.gives(&format!("SELECT v FROM {port} WHERE v >= 7 ORDER BY v DESC LIMIT 2"), &["9", "7"]).await;
        }
        ways.gives(
            "SELECT e.v, w.s FROM east.samples.everything e JOIN west.samples.bounds w ON e.v = w.v WHERE e.v <> 7",
            &["3|a", "9|z"],
        )
        .await;
        ways.gives("SELECT (SELECT max(v) FROM west.samples.bounds) - min(v) FROM east.samples.everything", &["6"])
            .await;
        ways.gives("SELECT min(v), max(s), count(v), count(*) FROM west.samples.nulls", &["4|c|2|4"]).await;
        ways.gives("SELECT count(*) FROM west.samples.nulls WHERE v IS NULL", &["2"]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bound_that_is_not_valid_utf8_is_ignored() {
    within(300, async {
        let mut files = Files::new();
        let groups = [table(vec![("s", strings(&["m", "m"]))]), table(vec![("s", strings(&["é", "a"]))])];
        // According to the bounds that are strings, the column is m in every row.
        for domain in ["east", "west"] {
            files.port((domain, "half"), &[("s", "string")], &groups, &[("s", Some(1), LeftOut::HalfCharacter)]);
        }
        let ways = files.ways().await;
        ways.gives("SELECT s FROM east.samples.half", &["m", "m", "é", "a"]).await;
        ways.gives("SELECT min(s), max(s) FROM east.samples.half", &["a|é"]).await;
        ways.gives("SELECT s FROM east.samples.half WHERE s <> 'm'", &["é", "a"]).await;
        ways.gives(
            "SELECT e.s FROM east.samples.half AS e JOIN west.samples.half AS w USING (s) WHERE s > 'n'",
            &["é"],
        )
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_count_of_nulls_is_not_zero() {
    within(600, async {
        let mut files = Files::new();
        let columns: &[_] = &[("v", "integer"), ("s", "string")];
        let none = |v: &[Option<i64>], s: &[Option<&str>]| {
            table(vec![("v", integers(v)), ("s", Arc::new(StringArray::from(s.to_vec())) as ArrayRef)])
        };
        let uncounted: &[_] = &[("v", None, LeftOut::NullCount), ("s", None, LeftOut::NullCount)];
        // According to the footer, the columns are 5 and k in every row.
        let constant = none(&[Some(5), None, Some(5), None], &[Some("k"), Some("k"), None, None]);
        files.port(("east", "constant"), columns, &[constant], uncounted);
        let groups = [
            none(&[Some(0), Some(1), Some(2)], &[Some("a"); 3]),
            none(&[None, Some(100), Some(101)], &[Some("b"), None, Some("c")]),
            none(&[Some(200), Some(201), Some(202)], &[Some("d"); 3]),
        ];
        let middle: &[_] = &[("v", Some(1), LeftOut::NullCount), ("s", Some(1), LeftOut::NullCount)];
        files.port(("west", "middle"), columns, &groups, middle);
        let ways = files.ways().await;

        ways.gives("SELECT v, s FROM east.samples.constant", &["5|k", "NULL|k", "5|NULL", "NULL|NULL"]).await;
        ways.gives("SELECT count(v), count(s), count(*) FROM east.samples.constant", &["2|2|4"]).await;
        ways.gives("SELECT count(*) FROM east.samples.constant WHERE v IS NULL", &["2"]).await;
        ways.gives("SELECT s FROM east.samples.constant WHERE v IS NOT NULL", &["k", "NULL"]).await;
        ways.gives("SELECT coalesce(v, -1) FROM east.samples.constant WHERE s IS NULL", &["5", "-1"]).await;
        ways.gives("SELECT v FROM west.samples.middle WHERE s IS NULL", &["100"]).await;
        ways.gives("SELECT s FROM west.samples.middle WHERE v IS NULL", &["b"]).await;
        ways.gives("SELECT v FROM west.samples.middle ORDER BY v NULLS FIRST LIMIT 1", &["NULL"]).await;
        ways.gives("SELECT v FROM west.samples.middle ORDER BY v DESC NULLS FIRST LIMIT 2", &["NULL", "202"]).await;
        ways.gives("SELECT count(v) FROM west.samples.middle WHERE v > 50", &["5"]).await;
        ways.gives(
            "SELECT m.v FROM west.samples.middle m LEFT JOIN east.samples.constant c ON m.v = c.v \
             WHERE c.v IS NULL AND m.s IS NULL",
            &["100"],
        )
        .await;
        ways.gives("SELECT s FROM west.samples.middle WHERE v IN (5, 101)", &["c"]).await;
    })
    .await;
}
