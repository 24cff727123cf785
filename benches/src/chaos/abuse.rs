//! The statements of faults: queries beyond the limits of memory and disk, and statements of a few bytes that would take
//! hours or all memory in one piece. `tests/e2e/hostile_statements.rs` has others of the last kind.

use super::faults::FaultKind;

/// Statements that one node runs, or that it sends on to an owner.
const HOSTILE: [&str; 7] = [
    "SELECT range(0, 10000000000)",
    "SELECT length(repeat('x', 1000 * 1000 * 2000))",
    "SELECT levenshtein(repeat('ab', 60000), repeat('ba', 60000))",
    "SELECT max(cardinality(range(0, c_custkey * 2000000))) FROM sales.customers.customer",
    "SELECT max(length(repeat(s_name, s_suppkey * 1000000))) FROM supply.suppliers.supplier",
    "SELECT count(*) FROM sales.orders.lineitem \
     WHERE regexp_like(repeat(l_comment, 1000), '(.*)(.*)(.*)(.*)[0-9]x' || l_orderkey)",
    "SELECT count(*) FROM generate_series(TIMESTAMP '1700-01-01', TIMESTAMP '2200-01-01', INTERVAL '1 second')",
];

/// Returns the statements of which a fault consists. A fault that has none needs none.
pub fn statements(kind: FaultKind) -> Vec<String> {
    match kind {
        FaultKind::FullDisk => vec![format!("SELECT * FROM {} a ORDER BY filler", rows(150)); 2],
        FaultKind::Hog => vec![
            format!("SELECT count(*) FROM {0} a JOIN {0} b ON a.k = b.k AND a.filler <> b.filler", rows(400)),
            format!("SELECT array_agg(filler) FROM {} a", rows(400)),
            format!("SELECT count(DISTINCT filler) FROM {} a", rows(400)),
        ],
        FaultKind::Hostile => {
            let columns: Vec<_> = (0..20).map(|i| format!("s_suppkey + {i}")).collect();
            let cube = format!("SELECT 1 FROM supply.suppliers.supplier GROUP BY CUBE({})", columns.join(", "));
            HOSTILE.map(str::to_owned).into_iter().chain([cube]).collect()
        }
        _ => vec![],
    }
}

/// Returns a table that any node can compute: each row has another string, of about six times `repeated` bytes.
fn rows(repeated: u32) -> String {
    format!(
        "(SELECT value AS k, repeat(CAST(value AS VARCHAR), {repeated}) AS filler FROM generate_series(1, 300000)) AS"
    )
}
