//! Describes domains, products, ports and tables, as `\d NAME` shows them.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use portolan_catalog::nearest::similarity;
use portolan_catalog::{printable, sql_type};
use portolan_node::{Error, Result};

use crate::connection::Connection;
use crate::lexer::{Kind, Token, literal, tokens, unquoted};
use crate::units::show_count;

/// The similarity at which a name is suggested.
const CLOSE_ENOUGH: f64 = 0.8;
/// The largest number of names that are compared with an unknown one.
const MAX_NAMES: usize = 50_000;

/// The description of an object of the mesh: a query for its parts, and text above and below.
#[derive(Debug, Default)]
pub struct Description {
    /// The query.
    pub sql: String,
    /// The lines above the result.
    pub title: String,
    /// The lines below the result.
    pub notes: String,
}

/// Describes the object called `name` (`a`, `a.b` or `a.b.c`, quoted or not). If no object has the name as it is written,
/// the parts without quotes are in lower case, as in SQL. `lists` is the command that lists the names,
/// for the error.
///
/// # Errors
/// A name that does not exist, or a node that does not answer.
pub async fn describe(connection: &Connection, name: &str, lists: &str) -> Result<Description> {
    let (parts, folded) = (parts(name, false), parts(name, true));
    let mut all = candidates(&parts);
    if folded != parts {
        all.extend(candidates(&folded));
    }
    for (table, condition) in all {
        let (_, batches) = connection.query(&format!("SELECT count(*) FROM {table} WHERE {condition}"), 1).await?;
        let first = batches.iter().find(|batch| batch.num_rows() > 0);
        let count = first.and_then(|b| b.column(0).as_primitive_opt::<Int64Type>()).map_or(0, |c| c.value(0));
        if count > 0 {
            return match table {
                COLUMNS => columns(connection, &condition, parts.len() == 3).await,
                OWN_COLUMNS => own_columns(connection, &condition).await,
                _ => Ok(Description { sql: parts_of(table, &condition), ..Description::default() }),
            };
        }
    }
    let near = near(connection, &parts).await?.map(|near| format!(" did you mean `{}`?", printable(&near)));
    let (name, near) = (printable(name), near.unwrap_or_default());
    Err(Error::failed(format!("there is no domain, product, port or table `{name}`;{near} {lists} lists the ports")))
}

/// The table that lists the columns of ports.
const COLUMNS: &str = "mesh.columns";
/// The table that lists ports.
const PORTS: &str = "mesh.ports";
/// The table that lists the columns of the session's tables and of the node's own tables.
const OWN_COLUMNS: &str = "information_schema.columns";
/// The table that lists the session's tables and the node's own tables.
const OWN_TABLES: &str = "information_schema.tables";

/// Returns the query for the tables of an own schema, or for ports.
fn parts_of(table: &str, condition: &str) -> String {
    match table {
        OWN_TABLES => format!(
            "SELECT table_schema AS \"schema\", table_name AS \"table\" FROM {table} WHERE {condition} \
             ORDER BY table_schema, table_name"
        ),
        _ => format!(
            "SELECT domain, product, port, description FROM {table} WHERE {condition} ORDER BY domain, product, port"
        ),
    }
}

/// Describes an own table. `information_schema` has the names of Arrow's types, so the rows become a query again.
async fn own_columns(connection: &Connection, condition: &str) -> Result<Description> {
    let sql = format!(
        "SELECT column_name, data_type, is_nullable FROM {OWN_COLUMNS} WHERE {condition} \
         ORDER BY table_schema, ordinal_position"
    );
    let (_, batches) = connection.query(&sql, MAX_NAMES).await?;
    let row = |row: Vec<String>| {
        let [name, data_type, nullable] = row.as_slice() else { return String::new() };
        format!("({}, {}, {})", literal(name), literal(&type_name(data_type)), nullable == "YES")
    };
    let rows: Vec<_> = strings_of(&batches)?.into_iter().map(row).collect();
    let columns = "\"column\", \"type\", \"nullable\"";
    let sql = format!("SELECT {columns} FROM (VALUES {}) AS described ({columns})", rows.join(", "));
    Ok(Description { sql, ..Description::default() })
}

/// Returns the SQL name of a type of `information_schema`.
pub(super) fn type_name(data_type: &str) -> String {
    data_type.parse::<DataType>().map_or_else(|_| data_type.to_owned(), |parsed| sql_type(&parsed))
}

/// Describes the ports whose columns fulfil a condition. If there is only one, the description has its keys, its size and
/// its owner.
async fn columns(connection: &Connection, condition: &str, is_full_name: bool) -> Result<Description> {
    let sql = format!(
        "SELECT {}\"column\", type, nullable, classification, description FROM mesh.columns WHERE {condition} \
         ORDER BY domain, product, port, position",
        if is_full_name { "" } else { "domain, product, port, " }
    );
    // The names of ports have the same columns in both tables.
    let (_, ports) = connection.query(&format!("SELECT * FROM {PORTS} WHERE {condition}"), 2).await?;
    let ports: Vec<&RecordBatch> = ports.iter().filter(|batch| batch.num_rows() > 0).collect();
    let only = match ports.as_slice() {
        [port] if port.num_rows() == 1 => *port,
        _ => return Ok(Description { sql, ..Description::default() }),
    };
    let names: Vec<String> = ["domain", "product", "port"].iter().filter_map(|column| text(only, column)).collect();
    let [domain, product, _] = names.as_slice() else { return Ok(Description { sql, ..Description::default() }) };
    let of_product = format!("{} AND {}", equals("domain", domain), equals("product", product));
    let (_, products) = connection.query(&format!("SELECT * FROM mesh.products WHERE {of_product}"), 1).await?;
    let product = products.iter().find(|batch| batch.num_rows() > 0);
    let about = text(only, "description").map(|about| format!(": {about}")).unwrap_or_default();
    let title = format!("{}\n", printable(&format!("{}{about}", names.join("."))));
    Ok(Description { sql, title, notes: notes(only, product) })
}

/// Returns the facts about a port that are shown below its columns, a line for each.
fn notes(port: &RecordBatch, product: Option<&RecordBatch>) -> String {
    let rows = port.column_by_name("rows").and_then(|c| c.as_primitive_opt::<Int64Type>());
    let rows = rows.filter(|rows| rows.is_valid(0)).and_then(|rows| u64::try_from(rows.value(0)).ok());
    let of_product = |column| product.and_then(|product| text(product, column));
    let keys = texts(port, "foreign_keys").into_iter().map(|key| ("References", Some(key)));
    let primary_key = Some(texts(port, "primary_key").join(", ")).filter(|key| !key.is_empty());
    let inputs = texts(port, "derived_from").join(", ");
    let counted = if inputs.is_empty() { "when the owner last counted" } else { "as the owner estimates" };
    let others = [
        ("Derived from", Some(inputs).filter(|names| !names.is_empty())),
        ("Rows", rows.map(|rows| format!("{}, {counted}", show_count(rows)))),
        ("Version", text(port, "version")),
        ("Owner", of_product("owner")),
        ("Product version", of_product("version")),
        ("Load error", text(port, "load_error")),
    ];
    let lines = std::iter::once(("Primary key", primary_key)).chain(keys).chain(others);
    lines.filter_map(|(name, value)| Some(format!("{name}: {}\n", printable(&value?)))).collect()
}

/// Returns the text in a column of the first row, or `None` if it is NULL or missing.
fn text(batch: &RecordBatch, column: &str) -> Option<String> {
    let values = cast(batch.column_by_name(column)?, &DataType::Utf8).ok()?;
    let values = values.as_string::<i32>();
    values.is_valid(0).then(|| values.value(0).to_owned())
}

/// Returns the list of texts in a column of the first row.
fn texts(batch: &RecordBatch, column: &str) -> Vec<String> {
    let lists = batch.column_by_name(column).and_then(|lists| lists.as_list_opt::<i32>());
    let Some(values) = lists.filter(|lists| lists.is_valid(0)).map(|lists| lists.value(0)) else { return vec![] };
    let Ok(values) = cast(&values, &DataType::Utf8) else { return vec![] };
    values.as_string::<i32>().iter().flatten().map(str::to_owned).collect()
}

fn equals(column: &str, value: &str) -> String {
    format!("{column} = {}", literal(value))
}

/// Returns what a name can refer to: pairs of a table to search and a condition, the most likely first.
fn candidates(parts: &[String]) -> Vec<(&'static str, String)> {
    let own = |schema: &str, table: &str| {
        let (schema, table) = (equals("table_schema", schema), equals("table_name", table));
        (OWN_COLUMNS, format!("table_catalog = 'portolan' AND {schema} AND {table}"))
    };
    match parts {
        [one] => vec![
            own("session", one),
            (PORTS, equals("domain", one)),
            (PORTS, equals("product", one)),
            (COLUMNS, equals("port", one)),
            (OWN_TABLES, format!("table_catalog = 'portolan' AND {}", equals("table_schema", one))),
        ],
        [a, b] => vec![
            (PORTS, format!("{} AND {}", equals("domain", a), equals("product", b))),
            (COLUMNS, format!("{} AND {}", equals("product", a), equals("port", b))),
            own(a, b),
        ],
        [a, b, c] => vec![
            (COLUMNS, format!("{} AND {} AND {}", equals("domain", a), equals("product", b), equals("port", c))),
            (
                OWN_COLUMNS,
                format!(
                    "{} AND {} AND {}",
                    equals("table_catalog", a),
                    equals("table_schema", b),
                    equals("table_name", c)
                ),
            ),
        ],
        _ => vec![],
    }
}

/// Returns the full name that is nearest to an unknown one, if one is near.
async fn near(connection: &Connection, parts: &[String]) -> Result<Option<String>> {
    let sql = "SELECT domain, product, port FROM mesh.ports UNION ALL \
        SELECT table_catalog, table_schema, table_name FROM information_schema.tables WHERE table_catalog = 'portolan'";
    let (_, batches) = connection.query(sql, MAX_NAMES).await?;
    Ok(nearest_name(parts, &strings_of(&batches)?))
}

/// Returns the values of each row as strings.
pub(super) fn strings_of(batches: &[RecordBatch]) -> Result<Vec<Vec<String>>> {
    let unreadable = |e| Error::failed("cannot read the names of the mesh").with_source(e);
    let mut rows = vec![];
    for batch in batches {
        let columns = batch.columns().iter().map(|column| cast(column, &DataType::Utf8).map_err(unreadable));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let value = |column: &ArrayRef, row| column.as_string::<i32>().value(row).to_owned();
        rows.extend((0..batch.num_rows()).map(|row| columns.iter().map(|column| value(column, row)).collect()));
    }
    Ok(rows)
}

/// Returns the nearest of the full names of ports and tables, and of the domains and products in them. A name without
/// domain or product is compared with the same parts of the full names.
fn nearest_name(parts: &[String], names: &[Vec<String>]) -> Option<String> {
    let typed = parts.join(".");
    let mut best: Option<(f64, &[String])> = None;
    for name in names {
        let compared: &[(usize, usize)] = match parts.len() {
            1 => &[(2, 3), (0, 1), (1, 2)],
            2 => &[(1, 3), (0, 2)],
            _ => &[(0, 3)],
        };
        for (from, to) in compared {
            let Some(part) = name.get(*from..*to) else { continue };
            let score = similarity(&typed, &part.join("."));
            if score >= CLOSE_ENOUGH && best.is_none_or(|(known, _)| score > known) {
                // A product is shown with its domain, and a port with its product.
                best = Some((score, &name[..*to]));
            }
        }
    }
    best.map(|(_, name)| name.join("."))
}

/// Returns the parts of a dotted name, without quotes. `folds`: parts that have no quotes become lower case.
fn parts(name: &str, folds: bool) -> Vec<String> {
    let part = |token: Token| match token.kind {
        Kind::Word if folds => Some(name[token.range].to_lowercase()),
        Kind::Word => Some(name[token.range].to_owned()),
        Kind::QuotedName => Some(unquoted(&name[token.range])),
        _ => None,
    };
    tokens(name).into_iter().filter_map(part).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use arrow::array::{Int64Array, ListBuilder, StringArray, StringBuilder};

    use super::*;

    #[test]
    fn names_cannot_break_out_of_the_query() {
        assert_eq!(parts("sales.\"my.product\".\"a\"\"b\"", false), ["sales", "my.product", "a\"b"]);
        assert_eq!(parts("Sales.\"My\".Ä", true), ["sales", "My", "ä"]);
        let (_, condition) = candidates(&["x' OR '1'='1".into()]).remove(1);
        assert_eq!(condition, "domain = 'x'' OR ''1''=''1'");
    }

    #[test]
    fn the_nearest_full_name_is_suggested() {
        let names: Vec<Vec<String>> = ["sales.orders.lineitem", "sales.customers.customer", "geo.places.nation"]
            .map(|name| name.split('.').map(str::to_owned).collect())
            .into();
        let near = |name: &str| nearest_name(&parts(name, false), &names);
        assert_eq!(near("sales.orders.lineitm").as_deref(), Some("sales.orders.lineitem"));
        assert_eq!(near("lineitm").as_deref(), Some("sales.orders.lineitem"));
        assert_eq!(near("orders.lineitm").as_deref(), Some("sales.orders.lineitem"));
        assert_eq!(near("sales.customer").as_deref(), Some("sales.customers"));
        assert_eq!(near("sale").as_deref(), Some("sales"));
        assert_eq!(near("place").as_deref(), Some("geo.places"));
        for far in ["weather", "x", "a.b.c", "a.b.c.d"] {
            assert_eq!(near(far), None, "{far}");
        }
    }

    #[test]
    fn notes_have_what_is_known_of_a_port() {
        let list = |values: &[&str]| {
            let mut lists = ListBuilder::new(StringBuilder::new());
            values.iter().for_each(|value| lists.values().append_value(value));
            lists.append(true);
            Arc::new(lists.finish()) as ArrayRef
        };
        let text = |value: Option<&str>| Arc::new(StringArray::from(vec![value])) as ArrayRef;
        let port = RecordBatch::try_from_iter_with_nullable([
            ("version", text(Some("1.2.0")), true),
            ("primary_key", list(&["l_orderkey", "l_linenumber"]), true),
            ("foreign_keys", list(&["l_orderkey -> sales.orders.orders (o_orderkey)", "x -> a.b.c (y)"]), true),
            ("rows", Arc::new(Int64Array::from(vec![600_572])) as ArrayRef, true),
        ])
        .unwrap();
        let columns = [("owner", text(Some("team\u{1b}[1m")), true), ("version", text(None), true)];
        let product = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
        let expected = [
            "Primary key: l_orderkey, l_linenumber",
            "References: l_orderkey -> sales.orders.orders (o_orderkey)",
            "References: x -> a.b.c (y)",
            "Rows: 600,572, when the owner last counted",
            "Version: 1.2.0",
            r"Owner: team\u{1b}[1m",
        ];
        assert_eq!(notes(&port, Some(&product)).lines().collect::<Vec<_>>(), expected);
        let derived = [
            ("derived_from", list(&["a.b.c", "a.b.d"]), true),
            ("rows", Arc::new(Int64Array::from(vec![7])) as ArrayRef, true),
        ];
        let derived = notes(&RecordBatch::try_from_iter_with_nullable(derived).unwrap(), None);
        assert_eq!(derived, "Derived from: a.b.c, a.b.d\nRows: 7, as the owner estimates\n");
        let empty = [("primary_key", list(&[]), true), ("derived_from", list(&[]), true)];
        assert_eq!(notes(&RecordBatch::try_from_iter_with_nullable(empty).unwrap(), None), "");
    }
}
