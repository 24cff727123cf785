//! The allow-list as data: each row has a reason and a test, and the book's page has every row.

use std::fmt::Write;
use std::path::Path;

use super::super::{MARIADB, MYSQL, POSTGRES, SQLITE, SqlDialect, SqlKind, SqlSpelling};

const DIALECTS: [&SqlDialect; 4] = [&POSTGRES, &MARIADB, &MYSQL, &SQLITE];

/// The sources of the tests that rows name.
const TESTS: [&str; 5] = [
    include_str!("hashed_joins.rs"),
    include_str!("operators.rs"),
    include_str!("spelling.rs"),
    include_str!("spelling_of_calls.rs"),
    include_str!("same_rows.rs"),
];

const HEAD: &str = "\
# What databases evaluate

<!-- A test writes this page: UPDATE_EXPECTED=1 cargo test -p portolan-connectors the_page_has_the_allow_list -->

A node sends a database only what means the same there. These tables list everything that a node sends; the rest of a query
runs at the node, and [`EXPLAIN`](explain.md) shows the reason. A node writes each operator as a derived table with generated
names, and each expression in brackets. `{0}`, `{1}` and `{2}` are the operands, and `{0!}` is an operand as it compares by its
bytes: a string with a binary collation, anything else unchanged. MySQL is not tested.

A column is only read, and never compared, if the database gives its values another meaning than the node. The page of each
kind of database lists these columns.

";

fn kinds(kinds: &[SqlKind]) -> String {
    kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ")
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn table(page: &mut String, title: &str, rows: &[SqlSpelling]) {
    writeln!(page, "### {title}\n\n| at a node | SQL | types | why, and when | test |\n|---|---|---|---|---|").unwrap();
    for row in rows {
        let only = row.only.map(|only| format!("; only if {}", only.words)).unwrap_or_default();
        let (name, sql, why) = (cell(row.name), cell(row.sql), cell(row.reason));
        writeln!(page, "| `{name}` | `{sql}` | {} | {why}{only} | `{}` |", kinds(row.kinds), row.test).unwrap();
    }
    page.push('\n');
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    for dialect in DIALECTS {
        writeln!(
            page,
            "## {}\n\n### Operators of plans\n\n| operator | SQL | why | test |\n|---|---|---|---|",
            dialect.name
        )
        .unwrap();
        for row in dialect.shapes {
            writeln!(page, "| {} | {} | {} | `{}` |", row.shape.name(), cell(row.sql), row.reason, row.test).unwrap();
        }
        page.push('\n');
        table(&mut page, "Operators of expressions", dialect.operators);
        table(&mut page, "Functions", dialect.functions);
        table(&mut page, "Aggregates", dialect.aggregates);
        table(&mut page, "Casts", dialect.casts);
    }
    page.truncate(page.trim_end().len());
    page + "\n"
}

#[test]
fn the_page_has_the_allow_list() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/src/pushdown.md");
    let written = page();
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        std::fs::write(&file, &written).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(kept == written, "docs/src/pushdown.md is not the allow-list: run this test with UPDATE_EXPECTED=1");
}

#[test]
fn each_row_names_a_test() {
    for dialect in DIALECTS {
        let spelled = [dialect.operators, dialect.functions, dialect.aggregates, dialect.casts].concat();
        let rows = spelled.iter().map(|row| (row.name, row.reason, row.test));
        let shapes = dialect.shapes.iter().map(|row| (row.shape.name(), row.reason, row.test));
        for (name, reason, test) in rows.chain(shapes) {
            let is_there = TESTS.iter().any(|source| source.contains(&format!("fn {test}()")));
            assert!(is_there && !reason.is_empty(), "{}: {name}: test {test}, reason {reason:?}", dialect.name);
        }
    }
}

#[test]
fn no_row_hides_another() {
    for dialect in DIALECTS {
        for rows in [dialect.operators, dialect.functions, dialect.aggregates, dialect.casts] {
            for (i, row) in rows.iter().enumerate() {
                let before = rows[..i].iter().filter(|other| other.name == row.name && other.only.is_none());
                for other in before {
                    let hidden: Vec<_> = row.kinds.iter().filter(|kind| other.kinds.contains(kind)).collect();
                    assert!(hidden.is_empty(), "{}: {} over {hidden:?} is listed twice", dialect.name, row.name);
                }
            }
        }
    }
}
