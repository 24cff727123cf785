//! TPC-H's tables for the generator: columns, types, joins, and values that occur.

use super::made_up::PORTS;
use super::scope::Kind::{self, Date, Decimal, Int, Text};

/// The scale of the data: small enough for cross joins, large enough for several batches.
pub const SCALE: f64 = 0.002;

/// A table for the generator.
pub(super) struct TableSpec {
    pub(super) name: &'static str,
    pub(super) rows: f64,
    pub(super) columns: &'static [ColumnSpec],
}

/// Returns every table: TPC-H's and the generated ones.
pub(super) fn tables() -> Vec<&'static TableSpec> {
    TABLES.iter().chain(PORTS.iter().map(|port| &port.table)).collect()
}

/// A column: its name, type, number of distinct values, the entity that its values identify (`""`: none), and literals.
#[derive(Clone, Copy, Debug)]
pub(super) struct ColumnSpec(
    pub(super) &'static str,
    pub(super) Kind,
    pub(super) f64,
    pub(super) &'static str,
    pub(super) &'static [&'static str],
);

const NATIONS: &[&str] = &["'FRANCE'", "'GERMANY'", "'BRAZIL'", "'CHINA'", "'nowhere'"];
const PRIORITIES: &[&str] = &["'1-URGENT'", "'3-MEDIUM'", "'5-LOW'", "'2-HIGH'"];
const MODES: &[&str] = &["'AIR'", "'MAIL'", "'SHIP'", "'TRUCK'", "'REG AIR'"];
const FLAGS: &[&str] = &["'F'", "'O'", "'P'", "'N'", "'R'", "'A'"];
const SEGMENTS: &[&str] = &["'BUILDING'", "'MACHINERY'", "'AUTOMOBILE'"];
const DATES: &[&str] = &["DATE '1992-06-01'", "DATE '1994-01-01'", "DATE '1995-03-15'", "DATE '1997-09-02'"];
// A bare literal with a point is a floating-point number, and sums of those depend on the order of addition.
const MONEY: &[&str] =
    &["0", "CAST('100.50' AS DECIMAL(15, 2))", "1000", "CAST('5000.01' AS DECIMAL(15, 2))", "25000", "150000"];
const KEYS: &[&str] = &["1", "3", "7", "20", "150", "1000", "-1"];
const SMALL: &[&str] = &["0", "1", "2", "5", "7", "17", "30"];
const RATES: &[&str] =
    &["0", "CAST('0.04' AS DECIMAL(15, 2))", "CAST('0.05' AS DECIMAL(15, 2))", "CAST('0.10' AS DECIMAL(15, 2))"];
const WORDS: &[&str] = &["'a'", "'furiously'", "''", "'Customer#000000007'", "'ironic'"];
const BRANDS: &[&str] = &["'Brand#13'", "'Brand#32'", "'Brand#55'"];
const CONTAINERS: &[&str] = &["'JUMBO PKG'", "'MED BOX'", "'SM CASE'"];

/// TPC-H's tables, by the full names of their ports.
const TABLES: &[TableSpec] = &[
    TableSpec {
        name: "sales.orders.lineitem",
        rows: 12000.0,
        columns: &[
            ColumnSpec("l_orderkey", Int, 3000.0, "order", KEYS),
            ColumnSpec("l_partkey", Int, 400.0, "part", KEYS),
            ColumnSpec("l_suppkey", Int, 20.0, "supplier", SMALL),
            ColumnSpec("l_linenumber", Int, 7.0, "", SMALL),
            ColumnSpec("l_quantity", Decimal, 50.0, "", SMALL),
            ColumnSpec("l_extendedprice", Decimal, 11000.0, "", MONEY),
            ColumnSpec("l_discount", Decimal, 11.0, "", RATES),
            ColumnSpec("l_returnflag", Text, 3.0, "", FLAGS),
            ColumnSpec("l_linestatus", Text, 2.0, "", FLAGS),
            ColumnSpec("l_shipdate", Date, 2400.0, "", DATES),
            ColumnSpec("l_shipmode", Text, 7.0, "", MODES),
            ColumnSpec("l_comment", Text, 11000.0, "", WORDS),
        ],
    },
    TableSpec {
        name: "sales.orders.orders",
        rows: 3000.0,
        columns: &[
            ColumnSpec("o_orderkey", Int, 3000.0, "order", KEYS),
            ColumnSpec("o_custkey", Int, 200.0, "customer", KEYS),
            ColumnSpec("o_orderstatus", Text, 3.0, "", FLAGS),
            ColumnSpec("o_totalprice", Decimal, 3000.0, "", MONEY),
            ColumnSpec("o_orderdate", Date, 1700.0, "", DATES),
            ColumnSpec("o_orderpriority", Text, 5.0, "", PRIORITIES),
            ColumnSpec("o_shippriority", Int, 1.0, "", SMALL),
        ],
    },
    TableSpec {
        name: "sales.customers.customer",
        rows: 300.0,
        columns: &[
            ColumnSpec("c_custkey", Int, 300.0, "customer", KEYS),
            ColumnSpec("c_name", Text, 300.0, "", WORDS),
            ColumnSpec("c_nationkey", Int, 25.0, "nation", SMALL),
            ColumnSpec("c_acctbal", Decimal, 300.0, "", MONEY),
            ColumnSpec("c_mktsegment", Text, 5.0, "", SEGMENTS),
        ],
    },
    TableSpec {
        name: "supply.parts.part",
        rows: 400.0,
        columns: &[
            ColumnSpec("p_partkey", Int, 400.0, "part", KEYS),
            ColumnSpec("p_name", Text, 400.0, "", WORDS),
            ColumnSpec("p_brand", Text, 25.0, "", BRANDS),
            ColumnSpec("p_size", Int, 50.0, "", SMALL),
            ColumnSpec("p_container", Text, 40.0, "", CONTAINERS),
            ColumnSpec("p_retailprice", Decimal, 400.0, "", MONEY),
        ],
    },
    TableSpec {
        name: "supply.parts.partsupp",
        rows: 1600.0,
        columns: &[
            ColumnSpec("ps_partkey", Int, 400.0, "part", KEYS),
            ColumnSpec("ps_suppkey", Int, 20.0, "supplier", SMALL),
            ColumnSpec("ps_availqty", Int, 1500.0, "", KEYS),
            ColumnSpec("ps_supplycost", Decimal, 1600.0, "", MONEY),
        ],
    },
    TableSpec {
        name: "supply.suppliers.supplier",
        rows: 20.0,
        columns: &[
            ColumnSpec("s_suppkey", Int, 20.0, "supplier", SMALL),
            ColumnSpec("s_name", Text, 20.0, "", WORDS),
            ColumnSpec("s_nationkey", Int, 15.0, "nation", SMALL),
            ColumnSpec("s_acctbal", Decimal, 20.0, "", MONEY),
        ],
    },
    TableSpec {
        name: "geo.places.nation",
        rows: 25.0,
        columns: &[
            ColumnSpec("n_nationkey", Int, 25.0, "nation", SMALL),
            ColumnSpec("n_name", Text, 25.0, "", NATIONS),
            ColumnSpec("n_regionkey", Int, 5.0, "region", SMALL),
        ],
    },
    TableSpec {
        name: "geo.places.region",
        rows: 5.0,
        columns: &[
            ColumnSpec("r_regionkey", Int, 5.0, "region", SMALL),
            ColumnSpec("r_name", Text, 5.0, "", &["'ASIA'", "'EUROPE'", "'AFRICA'"]),
        ],
    },
];

/// Returns literals for a column of which only the type is known.
pub(super) fn literals(kind: Kind) -> &'static [&'static str] {
    match kind {
        Int => SMALL,
        Decimal => MONEY,
        Text => FLAGS,
        Date => DATES,
        Kind::Bool => &["true", "false"],
        Kind::Float => &["0", "CAST('1.5' AS DOUBLE)", "CAST('1000.25' AS DOUBLE)"],
        Kind::Wide => &["-1", "0", "9223372036854775807"],
        Kind::Stamp => &["TIMESTAMP '1970-01-01 00:00:00'", "TIMESTAMP '2024-02-29 12:30:00'"],
    }
}
