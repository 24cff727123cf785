//! Matches the columns that a contract declares with those of the table in the database, and reports the columns that do
//! not fit.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::logical_expr::table_scan;
use portolan_catalog::logical_type::{declared_type, fits};
use portolan_catalog::nearest::nearest;
use portolan_catalog::{Column, DatabaseKind, DatabaseSource, Diagnostic, Diagnostics, Port, PortSource, sql_type};

use super::database::{DescribedColumn, DescribedTable};
use crate::sql::{self, SqlColumn, SqlDialect, SqlTable};

/// The columns of a port in its database.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fit {
    /// The columns, in the order of the contract. A column is not nullable only if the database checks that.
    pub(super) schema: SchemaRef,
    /// The table as queries read it, with the same columns.
    pub(super) table: Arc<SqlTable>,
    /// The names of the columns in the database, in the same order.
    pub(super) names: Vec<String>,
}

/// Returns the types that the contract determines, by the names of the columns in the database. The values of SQLite have
/// types of their own, so there a logical type determines a type. Elsewhere a column has one, and a logical type decides
/// only whether numbers stand for Booleans.
pub(super) fn wanted_types(port: &Port, source: &PortSource, database: &DatabaseSource) -> BTreeMap<String, DataType> {
    let wanted = port.columns.iter().filter_map(|column| {
        let declared = declared_type(column, Some(source))?;
        let counts = database.kind == DatabaseKind::Sqlite
            || database.types.contains_key(&column.name)
            || declared == DataType::Boolean;
        // A contract calls bytes a string as well.
        let is_blob = database.physical_types.get(&column.name).is_some_and(|name| name.eq_ignore_ascii_case("blob"));
        let is_counted = counts && !(is_blob && declared == DataType::Utf8);
        is_counted.then(|| (name_in_database(database, column).to_owned(), declared))
    });
    wanted.collect()
}

/// Finds each declared column of `port` in its table. `from` is the table in a `FROM` clause, in the SQL of `dialect`. Other
/// columns of the table are ignored.
///
/// # Errors
/// Every column that is missing, that has another type, or that cannot be read.
pub(super) fn fit(
    port: &Port,
    source: &PortSource,
    database: &DatabaseSource,
    described: &DescribedTable,
    (from, dialect): (String, &SqlDialect),
) -> Result<Fit, Diagnostics> {
    if port.columns.is_empty() {
        let message = format!("port {} declares no columns", port.name);
        return Err(Diagnostics::one(source.place.clone(), message));
    }
    let (mut fields, mut columns, mut names, mut faults) = (vec![], vec![], vec![], vec![]);
    for column in &port.columns {
        let place = source.declared_at.get(&column.name).unwrap_or(&source.place);
        let found = find(column, database, described).and_then(|(found, data_type)| {
            let field = Field::new(&column.name, data_type.clone(), found.nullable);
            let in_sql = SqlColumn { name: column.name.clone(), sql: found.sql.clone(), usage: found.usage };
            check_sql(&field, &in_sql, dialect).map_err(|reason| (unreadable(column, found, &reason), None))?;
            Ok((field, in_sql, found.name.clone()))
        });
        match found {
            Ok((field, in_sql, name)) => {
                fields.push(field);
                columns.push(in_sql);
                names.push(name);
            }
            Err((message, suggestion)) => faults.push(Diagnostic { place: place.clone(), message, suggestion }),
        }
    }
    match faults.is_empty() {
        true => {
            let DescribedTable { has_ranges, is_stored, .. } = *described;
            let table = SqlTable { from, columns, has_ranges, is_stored };
            Ok(Fit { schema: Arc::new(Schema::new(fields)), table: Arc::new(table), names })
        }
        false => Err(Diagnostics(faults)),
    }
}

/// A fault of a column, and the nearest name.
type Fault = (String, Option<String>);

/// Returns a declared column in the table, with its type.
fn find<'a>(
    column: &Column,
    database: &DatabaseSource,
    described: &'a DescribedTable,
) -> Result<(&'a DescribedColumn, &'a DataType), Fault> {
    let name = name_in_database(database, column);
    let mut same = described.columns.iter().filter(|found| found.name == name);
    let Some(found) = same.next() else {
        let suggestion = nearest(name, described.columns.iter().map(|found| found.name.as_str()));
        let message = match name == column.name {
            true => format!("column `{name}` is not in the database, or the account may not read it"),
            false => format!(
                "column `{name}`, the `physicalName` of `{}`, is not in the database, or the account may not read it",
                column.name
            ),
        };
        return Err((message, suggestion.map(str::to_owned)));
    };
    if same.next().is_some() {
        return Err((format!("the query has more than one column `{name}`: name each with AS"), None));
    }
    let data_type = found.data_type.as_ref().map_err(|reason| (unreadable(column, found, reason), None))?;
    match other_type(column, database, data_type) {
        None => Ok((found, data_type)),
        Some(declared) => {
            let native = &found.native_type;
            let message = format!("column `{}` is {declared} here and {native} in the database", column.name);
            Err((message, None))
        }
    }
}

fn unreadable(column: &Column, found: &DescribedColumn, reason: &str) -> String {
    format!("column `{}` is {} in the database, which cannot be read: {reason}", column.name, found.native_type)
}

/// Checks that a query can read a column: nothing else reads a port.
fn check_sql(field: &Field, column: &SqlColumn, dialect: &SqlDialect) -> Result<(), String> {
    let plan = table_scan(Some("port"), &Schema::new(vec![field.clone()]), None).and_then(|plan| plan.build());
    let plan = plan.map_err(|e| e.strip_backtrace())?;
    let columns = vec![column.clone()];
    let table = Arc::new(SqlTable { from: "port".to_owned(), columns, has_ranges: false, is_stored: true });
    sql::query(&plan, dialect, &|_| Some(table.clone())).map(drop).map_err(|refusal| refusal.to_string())
}

/// Returns the type of a column in the contract, if the database has another one.
fn other_type(column: &Column, database: &DatabaseSource, found: &DataType) -> Option<String> {
    if let Some(logical) = column.logical_type.as_ref().filter(|logical| !fits(logical, found)) {
        return Some(logical.clone());
    }
    let declared = database.types.get(&column.name)?;
    (digits(declared) != digits(found)).then(|| sql_type(declared))
}

/// Returns the precision and the scale of a decimal type.
fn digits(data_type: &DataType) -> Option<(u8, i8)> {
    match data_type {
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => Some((*precision, *scale)),
        _ => None,
    }
}

/// Returns the name of a column in the database.
fn name_in_database<'a>(database: &'a DatabaseSource, column: &'a Column) -> &'a str {
    database.names.get(&column.name).map_or(column.name.as_str(), String::as_str)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use arrow::datatypes::TimeUnit;
    use portolan_catalog::{DatabaseAddress, DatabaseRelation, Place, PortRef, SourceKind};

    use super::*;
    use crate::sql::ColumnUsage;
    use crate::testing::TEST_SQL;

    fn found(name: &str, native_type: &str, data_type: Result<DataType, String>) -> DescribedColumn {
        DescribedColumn {
            name: name.to_owned(),
            native_type: native_type.to_owned(),
            data_type,
            sql: format!("t.\"{name}\""),
            usage: ColumnUsage::All,
            nullable: true,
            unique: false,
            comment: None,
            enumeration: vec![],
        }
    }

    fn declared(columns: &[(&str, &str)]) -> (Port, PortSource, DatabaseSource) {
        let column = |(name, logical): &(&str, &str)| {
            let mut column = Column::new(*name);
            column.logical_type = Some((*logical).to_owned());
            column
        };
        let port = Port::new(PortRef::new("sales", "orders", "orders")).with_columns(columns.iter().map(column));
        let database = DatabaseSource {
            kind: DatabaseKind::Postgres,
            address: DatabaseAddress::Server { host: "db".to_owned(), port: 5432, database: "shop".to_owned() },
            relation: DatabaseRelation::Table { schema: None, name: "orders".to_owned() },
            names: BTreeMap::from([("day".to_owned(), "o_day".to_owned())]),
            types: BTreeMap::new(),
            physical_types: BTreeMap::new(),
        };
        let place = |line| Place { file: "orders.yaml".into(), line: Some(line), field: String::new() };
        let declared_at = port.columns.iter().zip(10..).map(|(column, line)| (column.name.clone(), place(line)));
        let source = PortSource {
            server: "warehouse".to_owned(),
            kind: SourceKind::Database(database.clone()),
            declared_at: declared_at.collect(),
            place: place(1),
        };
        (port, source, database)
    }

    fn described() -> DescribedTable {
        let day = DescribedColumn { usage: ColumnUsage::Returned, ..found("o_day", "date", Ok(DataType::Date32)) };
        let id = DescribedColumn { nullable: false, ..found("id", "bigint", Ok(DataType::Int64)) };
        let columns = vec![
            day,
            id,
            found("amount", "numeric(10,2)", Ok(DataType::Decimal128(10, 2))),
            found("place", "point", Err("the type has no equivalent".to_owned())),
            found("at", "timestamptz", Ok(DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())))),
        ];
        DescribedTable { columns, has_ranges: true, is_stored: true, ..DescribedTable::default() }
    }

    #[test]
    fn the_columns_come_in_the_order_of_the_contract() {
        let (port, source, database) = declared(&[("amount", "number"), ("id", "integer"), ("day", "date")]);
        let fit = fit(&port, &source, &database, &described(), ("\"orders\"".to_owned(), &TEST_SQL)).unwrap();
        let fields = vec![
            Field::new("amount", DataType::Decimal128(10, 2), true),
            Field::new("id", DataType::Int64, false),
            Field::new("day", DataType::Date32, true),
        ];
        assert_eq!(*fit.schema, Schema::new(fields));
        assert_eq!(fit.names, ["amount", "id", "o_day"]);
        assert!(fit.table.has_ranges && fit.table.is_stored && fit.table.from == "\"orders\"");
        let day = SqlColumn { name: "day".into(), sql: "t.\"o_day\"".into(), usage: ColumnUsage::Returned };
        assert_eq!(fit.table.columns[2], day);
    }

    #[test]
    fn every_fault_has_its_place() {
        let columns = [("amuont", "number"), ("id", "string"), ("place", "string"), ("day", "date"), ("at", "date")];
        let (port, source, mut database) = declared(&columns);
        database.names.insert("day".to_owned(), "o_dya".to_owned());
        let Diagnostics(faults) = fit(&port, &source, &database, &described(), (String::new(), &TEST_SQL)).unwrap_err();
        let shown: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "orders.yaml:10: column `amuont` is not in the database, or the account may not read it; did you mean `amount`?",
                "orders.yaml:11: column `id` is string here and bigint in the database",
                "orders.yaml:12: column `place` is point in the database, which cannot be read: the type has no \
                 equivalent",
                "orders.yaml:13: column `o_dya`, the `physicalName` of `day`, is not in the database, or the account may not read it; did you mean \
                 `o_day`?",
            ]
        );
        let (port, source, database) = declared(&[]);
        let empty = fit(&port, &source, &database, &described(), (String::new(), &TEST_SQL)).unwrap_err();
        assert!(empty.to_string().ends_with("port sales.orders.orders declares no columns"), "{empty}");
    }

    #[test]
    fn declared_digits_are_those_of_the_database() {
        let (port, source, mut database) = declared(&[("amount", "number")]);
        database.types.insert("amount".to_owned(), DataType::Decimal128(12, 2));
        let Diagnostics(faults) = fit(&port, &source, &database, &described(), (String::new(), &TEST_SQL)).unwrap_err();
        assert_eq!(faults[0].message, "column `amount` is DECIMAL(12,2) here and numeric(10,2) in the database");
        database.types.insert("amount".to_owned(), DataType::Decimal128(10, 2));
        fit(&port, &source, &database, &described(), (String::new(), &TEST_SQL)).unwrap();
    }

    #[test]
    fn two_columns_of_a_query_need_two_names() {
        let (port, source, database) = declared(&[("id", "integer")]);
        let columns = vec![found("id", "bigint", Ok(DataType::Int64)); 2];
        let twice = DescribedTable { columns, ..DescribedTable::default() };
        let refused = fit(&port, &source, &database, &twice, (String::new(), &TEST_SQL)).unwrap_err();
        assert!(refused.to_string().ends_with("the query has more than one column `id`: name each with AS"));
    }

    #[test]
    fn a_logical_type_determines_types_where_columns_have_none() {
        let columns = [("id", "integer"), ("paid", "boolean"), ("amount", "number"), ("day", "date")];
        let (port, _, mut database) = declared(&columns);
        database.types.insert("amount".to_owned(), DataType::Decimal128(10, 2));
        let wanted = |database: &DatabaseSource| {
            let source = PortSource {
                server: "warehouse".to_owned(),
                kind: SourceKind::Database(database.clone()),
                declared_at: BTreeMap::new(),
                place: Place::default(),
            };
            wanted_types(&port, &source, database)
        };
        let of_contract = [("amount", DataType::Decimal128(10, 2)), ("paid", DataType::Boolean)];
        let by_name = |types: &[(&str, DataType)]| -> BTreeMap<String, DataType> {
            types.iter().map(|(name, data_type)| ((*name).to_owned(), data_type.clone())).collect()
        };
        assert_eq!(wanted(&database), by_name(&of_contract));
        database.kind = DatabaseKind::Sqlite;
        let of_sqlite = [("id", DataType::Int64), ("o_day", DataType::Date32)];
        assert_eq!(wanted(&database), by_name(&[&of_contract[..], &of_sqlite[..]].concat()));
    }
}
