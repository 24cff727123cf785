//! `SHOW`: the statement shows settings, or becomes a query over `information_schema` and `mesh`.

use std::fmt::Write as _;

use portolan_catalog::nearest::nearest;
use portolan_catalog::{DomainName, MeshSnapshot, ProductName, sql_string};
use portolan_connectors::Subject;
use sqlparser::ast::{
    Ident, ObjectName, ShowStatementFilter, ShowStatementFilterPosition, ShowStatementIn, ShowStatementOptions,
    Statement as SqlStatement,
};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;

use super::assignments::known_schema;
use super::unsupported;
use crate::dialect::SPELLINGS;
use crate::names::{MESH_SCHEMA, RESERVED_CATALOG, SESSION_SCHEMA, SessionNames};
use crate::settings::SETTINGS;
use crate::upstream::identifiers::normal;
use crate::{Error, ErrorKind, Result};

/// What a SHOW returns.
pub(super) enum Shown {
    /// A setting, or all settings.
    Setting(String),
    /// The rows of a query.
    Rows(Box<SqlStatement>),
}

const ACCEPTED: &str = "SHOW accepts ALL, the name of a setting, TIME ZONE, COLUMNS FROM a table, and CATALOGS, DATABASES, \
                        SCHEMAS, TABLES and FUNCTIONS, with FROM and LIKE";
const INFORMATION_SCHEMA: &str = "information_schema";
/// Functions that the planner puts in the place of others.
const INTERNAL: &str =
    "'checked_add', 'checked_multiply', 'checked_negate', 'checked_subtract', 'sum_narrow', 'sum_wide'";

/// Returns what a statement shows; `None` if it is no SHOW, or if DataFusion plans it.
///
/// # Errors
/// `Unsupported` for another SHOW, with the ones that are supported; `NotFound` for an unknown catalog or schema.
pub(super) fn show(statement: &SqlStatement, mesh: &MeshSnapshot, session: &SessionNames) -> Result<Option<Shown>> {
    let sql = match statement {
        SqlStatement::ShowVariable { variable } => return variable_of(variable).map(Some),
        SqlStatement::ShowTables {
            terse: false,
            history: false,
            extended: false,
            full: false,
            external: false,
            show_options,
        } => tables(show_options, mesh, session)?,
        SqlStatement::ShowSchemas { terse: false, history: false, show_options } => schemas(show_options, mesh)?,
        SqlStatement::ShowCatalogs { terse: false, history: false, show_options }
        | SqlStatement::ShowDatabases { terse: false, history: false, show_options } => catalogs(show_options)?,
        SqlStatement::ShowFunctions { filter } => functions(filter.as_ref())?,
        SqlStatement::ShowCreate { obj_name, .. } => {
            return Err(unsupported(format!(
                "{statement} is not supported: `DESCRIBE {obj_name}` shows the columns, and `mesh.ports` what a domain \
                 publishes"
            )));
        }
        SqlStatement::ShowProcessList { .. } => {
            return Err(unsupported(
                "SHOW PROCESSLIST is not supported: `SELECT * FROM mesh.queries` shows the queries",
            ));
        }
        SqlStatement::ShowTables { .. }
        | SqlStatement::ShowSchemas { .. }
        | SqlStatement::ShowCatalogs { .. }
        | SqlStatement::ShowDatabases { .. }
        | SqlStatement::ShowViews { .. }
        | SqlStatement::ShowObjects(_)
        | SqlStatement::ShowVariables { .. }
        | SqlStatement::ShowStatus { .. }
        | SqlStatement::ShowCharset(_)
        | SqlStatement::ShowCollation { .. } => {
            return Err(unsupported(format!("{statement} is not supported: {ACCEPTED}")));
        }
        _ => return Ok(None),
    };
    rows(&sql).map(Some)
}

fn rows(sql: &str) -> Result<Shown> {
    let parsed = Parser::new(&GenericDialect {}).try_with_sql(sql).and_then(|mut parser| parser.parse_statement());
    let statement =
        parsed.map_err(|e| Error::new(ErrorKind::Internal, format!("a SHOW does not parse: {sql}")).with_source(e))?;
    Ok(Shown::Rows(Box::new(statement)))
}

/// Returns the setting of `SHOW name`.
fn variable_of(variable: &[Ident]) -> Result<Shown> {
    let words: Vec<String> = variable.iter().map(|word| word.value.to_lowercase()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["all"] => Ok(Shown::Setting("portolan.all".to_owned())),
        ["timezone" | "time_zone"] | ["time", "zone"] => rows("SELECT 'timezone' AS name, 'UTC' AS value"),
        [first, ..] if first.starts_with("portolan") || matches!(*first, "catalog" | "schema") => {
            Ok(Shown::Setting(words.join(".")))
        }
        [] => Err(unsupported(format!("this SHOW is not supported: {ACCEPTED}"))),
        ["search_path"] => {
            Err(unsupported("SHOW search_path is not supported: SHOW schema shows the schema of names with one part"))
        }
        words => {
            let name = words.join(" ");
            let others = ["all", "catalogs", "columns", "databases", "functions", "schemas", "tables"];
            let near = nearest(&name, others.iter().chain(SETTINGS).copied()).map(|near| format!("SHOW {near}"));
            Err(unsupported(format!("SHOW {name} is not supported: {ACCEPTED}")).suggesting(near))
        }
    }
}

fn tables(options: &ShowStatementOptions, mesh: &MeshSnapshot, session: &SessionNames) -> Result<String> {
    let (scope, filter) = read(options)?;
    let mut conditions = like("table_name", filter)?;
    match scope.as_deref() {
        None => conditions.push(format!("table_schema <> '{INFORMATION_SCHEMA}'")),
        Some([catalog]) if is_catalog(catalog, mesh) => {
            conditions.push(format!("table_catalog = {}", sql_string(catalog)));
            conditions.push(format!("table_schema <> '{INFORMATION_SCHEMA}'"));
        }
        Some([schema]) => {
            conditions.push(format!("table_schema = {}", sql_string(schema)));
            conditions.extend(catalog_of(schema, mesh, session)?);
        }
        Some([catalog, schema]) => {
            require_catalog(catalog, mesh)?;
            if schema != INFORMATION_SCHEMA {
                known_schema(catalog, schema, mesh)?;
            }
            conditions.push(format!("table_catalog = {}", sql_string(catalog)));
            conditions.push(format!("table_schema = {}", sql_string(schema)));
        }
        Some(parts) => {
            let name = parts.join(".");
            return Err(unsupported(format!("SHOW TABLES FROM takes a domain, or `domain.product`, got `{name}`")));
        }
    }
    Ok(format!(
        "SELECT table_catalog, table_schema, table_name, table_type FROM information_schema.tables WHERE {} \
         ORDER BY table_catalog, table_schema, table_name",
        conditions.join(" AND ")
    ))
}

fn schemas(options: &ShowStatementOptions, mesh: &MeshSnapshot) -> Result<String> {
    let (scope, filter) = read(options)?;
    let mut conditions = like("schema_name", filter)?;
    match scope.as_deref() {
        None => {}
        Some([catalog]) => {
            require_catalog(catalog, mesh)?;
            conditions.push(format!("catalog_name = {}", sql_string(catalog)));
        }
        Some(parts) => {
            let name = parts.join(".");
            return Err(unsupported(format!("SHOW SCHEMAS FROM takes a domain, got `{name}`")));
        }
    }
    conditions.push(format!("schema_name <> '{INFORMATION_SCHEMA}'"));
    Ok(format!(
        "SELECT catalog_name, schema_name FROM information_schema.schemata WHERE {} ORDER BY catalog_name, schema_name",
        conditions.join(" AND ")
    ))
}

fn catalogs(options: &ShowStatementOptions) -> Result<String> {
    let (scope, filter) = read(options)?;
    if scope.is_some() {
        return Err(unsupported("SHOW CATALOGS takes no FROM"));
    }
    let mut conditions = like("catalog_name", filter)?;
    conditions.push("true".to_owned());
    Ok(format!(
        "SELECT catalog_name FROM (SELECT domain AS catalog_name FROM {RESERVED_CATALOG}.{MESH_SCHEMA}.domains \
         WHERE state <> 'refused' UNION ALL SELECT '{RESERVED_CATALOG}') AS catalogs WHERE {} ORDER BY catalog_name",
        conditions.join(" AND ")
    ))
}

/// Returns the query for one row for each function and kind, with the first lines of what its documentation says.
fn functions(filter: Option<&ShowStatementFilter>) -> Result<String> {
    let mut conditions = like("function_name", filter)?;
    conditions.push(format!("function_name NOT IN ({INTERNAL})"));
    let spelled: Vec<String> = SPELLINGS.iter().map(|spelling| sql_string(spelling.name)).collect();
    let mut sql = format!(
        "SELECT function_name, function_type, description, syntax_example FROM (SELECT DISTINCT routine_name AS \
         function_name, function_type, split_part(description, chr(10), 1) AS description, \
         split_part(syntax_example, chr(10), 1) AS syntax_example FROM information_schema.routines \
         WHERE routine_name NOT IN ({}) UNION ALL VALUES ",
        spelled.join(", ")
    );
    for (number, spelling) in SPELLINGS.iter().enumerate() {
        let kind = if spelling.chapter.is_some() { "SCALAR" } else { "AGGREGATE" };
        let syntax = format!("{}({})", spelling.name, spelling.arguments);
        let separator = if number == 0 { "" } else { ", " };
        let (name, what, syntax) = (sql_string(spelling.name), sql_string(spelling.what), sql_string(&syntax));
        // Writing into a string cannot fail.
        let _ = write!(sql, "{separator}({name}, '{kind}', {what}, {syntax})");
    }
    let _ = write!(sql, ") AS functions WHERE {} ORDER BY function_name, function_type", conditions.join(" AND "));
    Ok(sql)
}

/// The parts of a name after FROM, and the filter.
type Options<'a> = (Option<Vec<String>>, Option<&'a ShowStatementFilter>);

/// Reads the options that SHOW supports.
fn read(options: &ShowStatementOptions) -> Result<Options<'_>> {
    let ShowStatementOptions { show_in, starts_with, limit, limit_from, filter_position } = options;
    if starts_with.is_some() || limit.is_some() || limit_from.is_some() {
        return Err(unsupported(format!("this SHOW takes FROM and LIKE, got `{}`", options.to_string().trim())));
    }
    let filter = filter_position.as_ref().map(|position| match position {
        ShowStatementFilterPosition::Infix(filter) | ShowStatementFilterPosition::Suffix(filter) => filter,
    });
    let scope = match show_in {
        None => None,
        Some(ShowStatementIn { parent_name: Some(name), .. }) => Some(parts(name)),
        Some(scope) => return Err(unsupported(format!("expected a name in `{scope}`"))),
    };
    Ok((scope, filter))
}

fn parts(name: &ObjectName) -> Vec<String> {
    name.0.iter().filter_map(|part| part.as_ident()).map(normal).collect()
}

/// Returns the condition of a filter.
fn like(column: &str, filter: Option<&ShowStatementFilter>) -> Result<Vec<String>> {
    match filter {
        None => Ok(vec![]),
        Some(ShowStatementFilter::Like(pattern)) => Ok(vec![format!("{column} LIKE {}", sql_string(pattern))]),
        Some(ShowStatementFilter::ILike(pattern)) => Ok(vec![format!("{column} ILIKE {}", sql_string(pattern))]),
        Some(other) => Err(unsupported(format!("SHOW takes LIKE or ILIKE with a pattern, got `{other}`"))),
    }
}

fn is_catalog(name: &str, mesh: &MeshSnapshot) -> bool {
    name == RESERVED_CATALOG || mesh.domains.contains_key(&DomainName::new(name))
}

fn require_catalog(name: &str, mesh: &MeshSnapshot) -> Result<()> {
    match is_catalog(name, mesh) {
        true => Ok(()),
        false => Err(not_found("domain", name, mesh.domains.keys().map(DomainName::as_str))),
    }
}

/// Returns the condition for the session's domain, if it has the product. Without it, every domain counts.
///
/// # Errors
/// `NotFound` if no domain has the product.
fn catalog_of(schema: &str, mesh: &MeshSnapshot, session: &SessionNames) -> Result<Option<String>> {
    let product = ProductName::new(schema);
    let has = |catalog: &str| {
        mesh.domains.get(&DomainName::new(catalog)).is_some_and(|entry| entry.catalog.products.contains_key(&product))
    };
    if let Some(catalog) = session.catalog.as_deref().filter(|catalog| has(catalog)) {
        return Ok(Some(format!("table_catalog = {}", sql_string(catalog))));
    }
    let others = [MESH_SCHEMA, SESSION_SCHEMA, INFORMATION_SCHEMA];
    if others.contains(&schema) || mesh.domains.keys().any(|domain| has(domain.as_str())) {
        return Ok(None);
    }
    let products = mesh.domains.values().flat_map(|entry| entry.catalog.products.keys().map(|name| name.as_str()));
    let all = mesh.domains.keys().map(DomainName::as_str).chain(products).chain(others);
    Err(not_found("domain or product", schema, all))
}

fn not_found<'a>(what: &str, name: &str, all: impl IntoIterator<Item = &'a str>) -> Error {
    let error = Error::new(ErrorKind::NotFound, format!("there is no {what} `{name}`")).suggesting(nearest(name, all));
    error.about(Some(Subject::Name(name.to_owned())))
}
