//! Files that a statement names in the place of tables: `FROM 'data.csv'`, or
//! `FROM read_csv('data.csv', delim => ';')`.
//!
//! Such a name means a table of the session that is called like the reference, if there is one: a client that has the
//! file has uploaded it. Otherwise, it means a file of this machine, if the engine reads such files. Only this step opens
//! files. The planner then finds each of them as a table.
//!
//! ```text
//! SELECT id FROM 'data/orders.csv' JOIN read_csv('a.csv', delim = ';') AS a USING (id)
//! SELECT id FROM portolan.session."'data/orders.csv'" AS "orders"
//!   JOIN portolan.session."read_csv('a.csv', delim => ';')" AS a USING (id)
//! ```

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use datafusion::execution::session_state::SessionState;
use datafusion::sql::parser::Statement;
use portolan_catalog::nearest::nearest;
use portolan_catalog::{FileFormat, sql_string};
use portolan_connectors::{FileReference, Subject};
use sqlparser::ast::{
    BinaryOperator, Expr, FromTable, FunctionArg, FunctionArgExpr, Ident, ObjectName, Statement as SqlStatement,
    TableAlias, TableFactor, TableFunctionArgs, TableObject, VisitorMut,
};

use super::{invalid, parse, take_explain};
use crate::names::{RESERVED_CATALOG, SESSION_SCHEMA, SessionNames};
use crate::upstream::identifiers::normal;
use crate::visit::{text_literal, visit_mut};
use crate::{Error, ErrorKind, Result, bounds};

/// The functions that read files. The names of DuckDB are known, too.
pub(super) const FUNCTIONS: [(&str, FileFormat); 7] = [
    ("read_csv", FileFormat::Csv),
    ("read_csv_auto", FileFormat::Csv),
    ("read_json", FileFormat::Json),
    ("read_json_auto", FileFormat::Json),
    ("read_ndjson", FileFormat::Json),
    ("read_parquet", FileFormat::Parquet),
    ("read_arrow", FileFormat::Arrow),
];

/// The endings of names that probably mean a file.
const ENDINGS: [&str; 7] = ["csv", "tsv", "json", "jsonl", "ndjson", "parquet", "arrow"];

/// The options of `read_csv`.
const CSV_OPTIONS: [&str; 4] = ["delim", "sep", "delimiter", "header"];

/// Returns the files that a statement names in the place of tables, in the order of their names. Returns none for text
/// that is not a statement.
///
/// # Errors
/// `InvalidQuery` for a function that reads files with arguments that it does not accept, and for a statement that changes
/// the rows of a file.
pub fn files_of(sql: &str) -> Result<Vec<FileReference>> {
    if !sql.contains('\'') || bounds::check_text(sql).is_err() {
        return Ok(vec![]);
    }
    let explained = take_explain(sql).ok().flatten().map(|(_, sql)| sql);
    let Ok(mut statement) = parse(explained.as_deref().unwrap_or(sql)) else { return Ok(vec![]) };
    Ok(take(&mut statement)?.into_values().collect())
}

/// Opens the files that a statement names, and lets the statement read them as tables.
///
/// # Errors
/// `Unsupported` if neither the session nor this machine has a file that the statement may read; any error of opening a
/// file.
pub(super) async fn open(statement: &mut Statement, state: &SessionState, session: &SessionNames) -> Result<()> {
    for (name, file) in take(statement)? {
        if session.tables.contains_key(&name) || session.opened.file(&name).is_some() {
            continue;
        }
        let about = |error: Error| error.about(Some(Subject::Constant(file.location.clone())));
        let Some(files) = &session.files else { return Err(about(not_read(&name))) };
        let table = files.open(&file, state.runtime_env()).await;
        session.opened.keep_file(&name, table.map_err(|e| about(e.within(format!("`{name}`"))))?);
    }
    Ok(())
}

/// Returns the reference to the file that an unknown name probably means, such as `"data.csv"` in double quotes.
pub(super) fn probable(name: &str) -> Option<String> {
    let (stem, ending) = name.strip_suffix(".gz").unwrap_or(name).rsplit_once('.')?;
    (!stem.is_empty() && ENDINGS.contains(&ending)).then(|| sql_string(name))
}

fn not_read(name: &str) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!(
            "`{name}` names a file, and this node does not read files of its machine: run the statement with \
             `portolan sql`, which uploads the file from your machine, or load the file into a table of the session, as \
             `\\copy t from 'FILE'` does; the name of a table has double quotes or none"
        ),
    )
}

/// Returns the files of a statement by the names of their tables, and puts these tables in the places of the files.
fn take(statement: &mut Statement) -> Result<BTreeMap<String, FileReference>> {
    let mut files = References::default();
    let Statement::Statement(statement) = statement else { return Ok(files.0) };
    if let Some(file) = changed(statement) {
        return Err(invalid(format!("`{file}` is a file: statements read files, and change tables")));
    }
    if let SqlStatement::ExplainTable { table_name, .. } = statement.as_mut()
        && let Some(path) = quoted(table_name)
    {
        *table_name = files.add(of_path(path));
    }
    let fault = visit_mut(statement.as_mut(), &mut files).break_value();
    fault.map_or(Ok(files.0), Err)
}

/// The files that were found, by the names of their tables.
#[derive(Default)]
struct References(BTreeMap<String, FileReference>);

impl References {
    /// Adds a file, and returns the name of its table.
    fn add(&mut self, file: FileReference) -> ObjectName {
        let parts = [RESERVED_CATALOG, SESSION_SCHEMA, &file.name].map(|part| Ident::with_quote('"', part));
        self.0.insert(file.name.clone(), file);
        ObjectName::from(parts.to_vec())
    }
}

impl VisitorMut for References {
    type Break = Error;

    fn pre_visit_table_factor(&mut self, table: &mut TableFactor) -> ControlFlow<Error> {
        let TableFactor::Table { name, alias, args, .. } = table else { return ControlFlow::Continue(()) };
        let (file, called) = match args {
            None => match quoted(name) {
                Some(path) => (of_path(path), stem(path).to_owned()),
                None => return ControlFlow::Continue(()),
            },
            Some(given) => match function(name) {
                Some((function, format)) => match of_call(&function, format, given) {
                    Ok(file) => (file, function),
                    Err(error) => return ControlFlow::Break(error.about(Some(Subject::Function(function)))),
                },
                None => return ControlFlow::Continue(()),
            },
        };
        *name = self.add(file);
        *args = None;
        alias.get_or_insert_with(|| TableAlias {
            explicit: true,
            name: Ident::with_quote('"', called),
            columns: vec![],
            at: None,
        });
        ControlFlow::Continue(())
    }
}

/// Returns the file whose rows a statement would change. A change of an uploaded copy would leave the file as it is.
fn changed(statement: &SqlStatement) -> Option<String> {
    let table = match statement {
        SqlStatement::Insert(insert) => match &insert.table {
            TableObject::TableName(name) => return quoted(name).map(sql_string),
            _ => return None,
        },
        SqlStatement::Delete(delete) => match &delete.from {
            FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from) => &from.first()?.relation,
        },
        SqlStatement::Update(update) => &update.table.relation,
        _ => return None,
    };
    let is_file = match table {
        TableFactor::Table { name, args: None, .. } => quoted(name).is_some(),
        TableFactor::Table { name, args: Some(_), .. } => function(name).is_some(),
        _ => false,
    };
    is_file.then(|| table.to_string())
}

/// Returns the text of a name that is one string in single quotes.
fn quoted(name: &ObjectName) -> Option<&str> {
    let [part] = name.0.as_slice() else { return None };
    part.as_ident().filter(|ident| ident.quote_style == Some('\'')).map(|ident| ident.value.as_str())
}

/// Returns the name of a file without its folders and extensions.
fn stem(path: &str) -> &str {
    let name = path.rsplit(['/', '\\']).next().unwrap_or(path);
    match name.split_once('.') {
        Some((stem, _)) if !stem.is_empty() => stem,
        _ => name,
    }
}

fn of_path(path: &str) -> FileReference {
    FileReference { name: sql_string(path), location: path.to_owned(), format: None, delimiter: None, has_header: None }
}

/// Returns the function that reads files with this name, and the format that it reads.
fn function(name: &ObjectName) -> Option<(String, FileFormat)> {
    let [part] = name.0.as_slice() else { return None };
    let name = part.as_ident().map(normal)?;
    let (_, format) = FUNCTIONS.iter().find(|(known, _)| *known == name)?;
    Some((name, *format))
}

/// Returns the file of a call such as `read_csv('data.csv', delim => ';')`.
fn of_call(function: &str, format: FileFormat, given: &TableFunctionArgs) -> Result<FileReference> {
    let mut arguments = given.args.iter();
    let location = match arguments.next() {
        Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(first))) => text_literal(first),
        _ => None,
    };
    let Some(location) = location else {
        return Err(invalid(format!("`{function}` expects a path or a glob in single quotes as its first argument")));
    };
    let mut file = FileReference { format: Some(format), ..of_path(location) };
    for argument in arguments {
        let Some((option, value)) = named(argument) else {
            return Err(invalid(format!("`{function}` expects options such as `header => true`, got `{argument}`")));
        };
        set(&mut file, function, &option, value)?;
    }
    let mut name = format!("{function}({}", file.name);
    if let Some(delimiter) = file.delimiter {
        name.push_str(&format!(", delim => {}", sql_string(&char::from(delimiter).to_string())));
    }
    if let Some(header) = file.has_header {
        name.push_str(&format!(", header => {header}"));
    }
    name.push(')');
    Ok(FileReference { name, ..file })
}

/// Returns the name and the value of a named argument: `name => value`, `name := value` or `name = value`.
fn named(argument: &FunctionArg) -> Option<(String, &Expr)> {
    match argument {
        FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } => Some((normal(name), value)),
        FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::BinaryOp { left, op: BinaryOperator::Eq, right })) => {
            match left.as_ref() {
                Expr::Identifier(name) => Some((normal(name), right.as_ref())),
                _ => None,
            }
        }
        _ => None,
    }
}

fn set(file: &mut FileReference, function: &str, option: &str, value: &Expr) -> Result<()> {
    match (file.format, option) {
        (Some(FileFormat::Csv), "delim" | "sep" | "delimiter") => {
            let delimiter = match text_literal(value).map(|text| if text == "\\t" { "\t" } else { text }.as_bytes()) {
                Some([byte]) if byte.is_ascii() => *byte,
                _ => {
                    let what =
                        format!("`{option}` of `{function}` expects one ASCII character in quotes, got `{value}`");
                    return Err(invalid(what));
                }
            };
            file.delimiter = Some(delimiter);
        }
        (Some(FileFormat::Csv), "header") => {
            let has_header = switch(value);
            let what = || invalid(format!("`header` of `{function}` expects `true` or `false`, got `{value}`"));
            file.has_header = Some(has_header.ok_or_else(what)?);
        }
        (Some(FileFormat::Csv), other) => {
            let what = format!("`{function}` has no option `{other}`: use {}", CSV_OPTIONS.join(", "));
            return Err(invalid(what).suggesting(nearest(other, CSV_OPTIONS)));
        }
        (_, other) => return Err(invalid(format!("`{function}` has no option `{other}`: it accepts only a path"))),
    }
    Ok(())
}

fn switch(value: &Expr) -> Option<bool> {
    match value.to_string().to_lowercase().as_str() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn names(sql: &str) -> Vec<String> {
        files_of(sql).unwrap().into_iter().map(|file| file.name).collect()
    }

    #[test]
    fn files_stand_where_tables_stand() {
        assert_eq!(names("SELECT 'a.csv' FROM 'data/*.parquet' x JOIN t ON x.a = 'b.csv'"), ["'data/*.parquet'"]);
        assert_eq!(names("EXPLAIN ANALYZE SELECT * FROM 'a.csv' WHERE EXISTS (FROM 'b.csv')"), ["'a.csv'", "'b.csv'"]);
        assert_eq!(names("CREATE TABLE t AS SELECT * FROM 'o''x.csv'"), ["'o''x.csv'"]);
        assert_eq!(names("DESCRIBE 'a.csv'"), ["'a.csv'"]);
        for none in ["SELECT * FROM \"a.csv\"", "SELECT * FROM s.'a.csv'", "SELECT 'a.csv'", "SELECT '", "SHOW TABLES"]
        {
            assert!(names(none).is_empty(), "{none}");
        }
    }

    #[test]
    fn no_statement_changes_a_file() {
        for (sql, file) in [
            ("DELETE FROM 'a.csv' WHERE id = 1", "'a.csv'"),
            ("DELETE FROM read_csv('a.csv')", "read_csv('a.csv')"),
            ("UPDATE 'o''x.csv' SET id = 1", "'o''x.csv'"),
            ("INSERT INTO 'a.csv' SELECT * FROM 'b.csv'", "'a.csv'"),
        ] {
            let error = files_of(sql).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidQuery, "{sql}");
            assert!(error.context().starts_with(&format!("`{file}` is a file")), "{sql}: {error}");
        }
        for sql in [
            "DELETE FROM t WHERE id IN (SELECT id FROM 'a.csv')",
            "UPDATE t SET id = (SELECT max(id) FROM 'a.csv')",
            "INSERT INTO t SELECT * FROM 'a.csv'",
        ] {
            assert_eq!(names(sql), ["'a.csv'"], "{sql}");
        }
    }

    #[test]
    fn a_name_with_the_ending_of_a_file_probably_means_one() {
        for (name, file) in [("data.csv", "'data.csv'"), ("it's/a.json.gz", "'it''s/a.json.gz'")] {
            assert_eq!(probable(name).as_deref(), Some(file));
        }
        for name in ["csv", ".csv", "geo.places.nation", "data.csv.x"] {
            assert_eq!(probable(name), None, "{name}");
        }
    }

    #[test]
    fn functions_have_one_spelling_for_the_same_options() {
        for (call, name) in [
            ("Read_CSV('a.csv')", "read_csv('a.csv')"),
            ("read_csv('a.csv', header = FALSE, sep=';')", "read_csv('a.csv', delim => ';', header => false)"),
            ("read_csv('a.csv', delimiter => '\\t')", "read_csv('a.csv', delim => '\t')"),
            ("read_parquet('x/*.parquet')", "read_parquet('x/*.parquet')"),
            ("read_ndjson('a.log')", "read_ndjson('a.log')"),
        ] {
            let sql = format!("SELECT * FROM {call}");
            assert_eq!(names(&sql), [name]);
            // The name is a reference, too.
            assert_eq!(files_of(&format!("SELECT * FROM {name}")).unwrap(), files_of(&sql).unwrap());
        }
        let file = &files_of("FROM read_csv('a', delim => '|', header => true)").unwrap()[0];
        assert_eq!((file.location.as_str(), file.delimiter, file.has_header), ("a", Some(b'|'), Some(true)));
        for (call, says) in [
            ("read_csv()", "a path or a glob in single quotes"),
            ("read_csv(a)", "a path or a glob in single quotes"),
            ("read_csv('a', 1)", "options such as"),
            ("read_csv('a', delim => ';;')", "one ASCII character"),
            ("read_csv('a', header => 2)", "`true` or `false`"),
            ("read_csv('a', headr => true)", "did you mean `header`?"),
            ("read_parquet('a', header => true)", "accepts only a path"),
        ] {
            let error = files_of(&format!("SELECT * FROM {call}, 'b.csv'")).unwrap_err();
            assert!(error.context().contains(says), "{call}: {error}");
        }
    }

    #[test]
    fn a_file_is_called_by_its_name() {
        let shown = |sql: &str| {
            let mut statement = parse(sql).unwrap();
            take(&mut statement).unwrap();
            statement.to_string()
        };
        assert_eq!(
            shown("SELECT * FROM 'data/orders-1.csv.gz'"),
            "SELECT * FROM \"portolan\".\"session\".\"'data/orders-1.csv.gz'\" AS \"orders-1\""
        );
        assert_eq!(
            shown("SELECT * FROM read_csv('a.csv') AS x (y)"),
            "SELECT * FROM \"portolan\".\"session\".\"read_csv('a.csv')\" AS x (y)"
        );
        assert_eq!(shown("DESCRIBE 'a.csv'"), "DESCRIBE \"portolan\".\"session\".\"'a.csv'\"");
    }
}
