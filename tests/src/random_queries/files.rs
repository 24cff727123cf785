//! Writes the rows of the generated ports as Parquet files, the same in every run.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray, TimestampNanosecondArray,
};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::made_up::{DOMAINS, MadeUp, PORTS, REPEAT, REPEATED, Stored};
use crate::duckdb::PortFiles;
use crate::products::{PortFile, write_domain};

/// The seed of the rows.
const SEED: u64 = 1_492;
/// The size of a row group: small enough for several in a file.
const ROW_GROUP_ROWS: usize = 25;
const NULLS: f64 = 0.12;
/// The number of microseconds in a day.
const DAY: i64 = 86_400_000_000;
/// 0001-01-01 and 9999-12-31, in days since 1970.
const FIRST_DAY: i32 = -719_162;
const LAST_DAY: i32 = 2_932_896;
/// 2024-02-29.
const LEAP_DAY: i32 = 19_782;

const STRINGS: &[&str] =
    &["", " ", "50%", "5", "A", "a", "abc", "a_b", "a%b", "it's", "\"q\"", "ünï", "日本", "NULL", " padded ", "F"];
const DOUBLES: &[f64] = &[
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    0.0,
    5e-324,
    -5e-324,
    f64::MIN_POSITIVE,
    1.5,
    -1.5,
    3.0,
    5.0,
    100.25,
    1e300,
];
/// The values in units of the tenth decimal place.
const AMOUNTS: &[i128] = &[
    0,
    10_000_000_000,
    -10_000_000_000,
    20_000_000_000,
    70_000_000_000,
    87_900_000_000,
    -87_900_000_000,
    87_900_000_001,
    10_009_000_000,
    25_000_000_000,
    700_000_000,
    100_000_000,
    1_005_000_000_000,
    999_999_900_000_000,
];

/// Writes the ports of every generated domain and their descriptors below `folder`. Returns the domains with their
/// descriptors, and the files of each port.
pub(super) fn write(folder: &Path) -> (Vec<(&'static str, PathBuf)>, Vec<PortFiles>) {
    write_as(folder, &RecordBatch::clone)
}

/// Writes the ports as [`write`] does, with the rows that `held` makes of them.
pub(super) fn write_as(
    folder: &Path,
    held: &dyn Fn(&RecordBatch) -> RecordBatch,
) -> (Vec<(&'static str, PathBuf)>, Vec<PortFiles>) {
    let mut random = StdRng::seed_from_u64(SEED);
    let mut homes = vec![];
    let mut all = vec![];
    for domain in DOMAINS {
        let home = folder.join(domain);
        let mut ports = vec![];
        for port in PORTS.iter().filter(|p| p.table.name.starts_with(domain)) {
            let name = port.table.name.rsplit('.').next().unwrap_or_default();
            let place = home.join("files").join(name);
            let files = write_port(&place, port, held, &mut random);
            let columns = port.table.columns.iter().zip(port.stored);
            let columns: Vec<_> = columns.map(|(column, stored)| (column.0, logical_type(*stored))).collect();
            ports.push(PortFile::local(name, &place, "parquet", &columns));
            if port.table.name == REPEATED {
                ports.push(repeat(&columns));
            }
            all.push(PortFiles { name: port.table.name.into(), files });
        }
        write_domain(domain, &home, &ports);
        homes.push((*domain, home.join("products")));
    }
    (homes, all)
}

/// Returns the derived port that repeats a port with these columns. Its query is not trivial to read through.
pub(super) fn repeat(columns: &[(&'static str, &'static str)]) -> PortFile {
    let names: Vec<_> = columns.iter().map(|(name, _)| *name).collect();
    let names = names.join(", ");
    let query = format!(
        "SELECT {names} FROM samples.entry WHERE k > 3 UNION ALL \
         SELECT {names} FROM {REPEATED} AS e WHERE NOT k > 3 OR k IS NULL"
    );
    PortFile::derived(REPEAT.rsplit('.').next().unwrap_or_default(), &query, columns)
}

fn write_port(
    place: &Path,
    port: &MadeUp,
    held: &dyn Fn(&RecordBatch) -> RecordBatch,
    random: &mut StdRng,
) -> Vec<PathBuf> {
    fs::create_dir_all(place).unwrap();
    let mut files = vec![];
    for (i, &rows) in port.files.iter().enumerate() {
        let columns = port.table.columns.iter().zip(port.stored);
        let columns = columns.map(|(column, stored)| (column.0, values(*stored, rows, random), true));
        let batch = held(&RecordBatch::try_from_iter_with_nullable(columns).unwrap());
        let file = place.join(format!("part-{i}.parquet"));
        let properties = WriterProperties::builder().set_max_row_group_row_count(Some(ROW_GROUP_ROWS)).build();
        let mut writer = ArrowWriter::try_new(File::create(&file).unwrap(), batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        files.push(file);
    }
    files
}

fn logical_type(stored: Stored) -> &'static str {
    match stored {
        Stored::Small32 | Stored::Small64 | Stored::Wide32 | Stored::Wide64 => "integer",
        Stored::Decimals(..) | Stored::Doubles | Stored::Zeros => "number",
        Stored::Texts => "string",
        Stored::Days | Stored::WideDays => "date",
        Stored::Instants | Stored::Nanos | Stored::WideInstants => "timestamp",
        Stored::Flags => "boolean",
    }
}

/// Returns this many values of a column, with NULLs among them.
fn values(stored: Stored, rows: usize, random: &mut StdRng) -> ArrayRef {
    match stored {
        Stored::Small32 => Arc::new(Int32Array::from(draw(rows, random, |r| r.random_range(-2..=12)))),
        Stored::Small64 => Arc::new(Int64Array::from(draw(rows, random, |r| r.random_range(-2..=12)))),
        Stored::Wide32 => Arc::new(Int32Array::from(draw(rows, random, |r| {
            pick(&[i32::MIN, i32::MIN + 1, -1, 0, 1, 7, i32::MAX - 1, i32::MAX], r)
        }))),
        Stored::Wide64 => Arc::new(Int64Array::from(draw(rows, random, |r| {
            let ends = [i64::MIN, i64::MIN + 1, i64::from(i32::MIN), -1, 0, 1, 7, i64::MAX - 1, i64::MAX];
            pick(&ends, r)
        }))),
        Stored::Decimals(precision, scale) => {
            let unit = 10i128.pow(10 - u32::from(scale.unsigned_abs()));
            let numbers = draw(rows, random, |r| pick(AMOUNTS, r) / unit);
            Arc::new(Decimal128Array::from(numbers).with_precision_and_scale(precision, scale).unwrap())
        }
        Stored::Texts => Arc::new(StringArray::from(draw(rows, random, |r| pick(STRINGS, r)))),
        Stored::Doubles => Arc::new(Float64Array::from(draw(rows, random, |r| pick(DOUBLES, r)))),
        Stored::Zeros => Arc::new(Float64Array::from(draw(rows, random, |r| pick(&[-1.0, -0.0, 0.0, f64::NAN], r)))),
        Stored::Days => Arc::new(Date32Array::from(draw(rows, random, |r| {
            pick(&[-1, 0, 1, LEAP_DAY, LEAP_DAY - 1, LEAP_DAY + 1, LEAP_DAY + 30, 9_204], r)
        }))),
        Stored::WideDays => Arc::new(Date32Array::from(draw(rows, random, |r| {
            pick(&[FIRST_DAY, FIRST_DAY + 1, -141_427, -1, 0, LEAP_DAY, LAST_DAY - 1, LAST_DAY], r)
        }))),
        Stored::Instants => Arc::new(TimestampMicrosecondArray::from(draw(rows, random, instant))),
        Stored::Nanos => Arc::new(TimestampNanosecondArray::from(draw(rows, random, |r| instant(r) * 1_000))),
        Stored::WideInstants => Arc::new(TimestampMicrosecondArray::from(draw(rows, random, |r| {
            let (first, end) = (i64::from(FIRST_DAY) * DAY, (i64::from(LAST_DAY) + 1) * DAY);
            pick(&[first, first + 1, -1, 0, i64::from(LEAP_DAY) * DAY, end - DAY, end - 1], r)
        }))),
        Stored::Flags => Arc::new(BooleanArray::from(draw(rows, random, |r| r.random_bool(0.5)))),
    }
}

/// Returns an instant within a few years, in microseconds.
fn instant(random: &mut StdRng) -> i64 {
    let day = i64::from(LEAP_DAY) * DAY;
    pick(&[-1, 0, 1, -DAY / 2, day, day + DAY / 2 + 1_800_000_000, day + DAY, day + 1_500_000], random)
}

fn draw<T>(rows: usize, random: &mut StdRng, value: impl Fn(&mut StdRng) -> T) -> Vec<Option<T>> {
    (0..rows).map(|_| if random.random_bool(NULLS) { None } else { Some(value(random)) }).collect()
}

fn pick<T: Copy>(from: &[T], random: &mut StdRng) -> T {
    *from.choose(random).unwrap()
}
