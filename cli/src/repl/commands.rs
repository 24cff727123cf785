//! The backslash commands of the prompt, and their queries about the mesh.

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use portolan_node::{Error, Result};

use crate::connection::Connection;

/// Every command and its description.
pub const COMMANDS: &[(&str, &str)] = &[
    ("\\d", "[NAME]  list ports and the session's tables and views, or show a domain, a product, a port or a table"),
    ("\\dn", "list the domains and the nodes that serve them"),
    ("\\l", "list the domains and the nodes that serve them"),
    ("\\nodes", "list the nodes and their state"),
    ("\\plan", "[SQL]  show where each operator of a statement runs. Without SQL, of the last statement"),
    ("\\timing", "[on|off]  show how long statements take"),
    ("\\x", "[on|off]  show each row as a block"),
    ("\\rows", "[N]  show at most N rows of a result"),
    ("\\set", "[NAME VALUE]  show the session's settings, or change one"),
    (
        "\\copy",
        "TABLE from 'FILE' | TABLE|(QUERY) to 'FILE'  read a file of this machine into a table, or write rows to one",
    ),
    ("\\?", "list the commands"),
    ("\\q", "quit"),
];

/// True if a line is a command. A command needs no semicolon.
pub fn is_command(line: &str) -> bool {
    let line = line.trim();
    line.starts_with('\\') || matches!(line.trim_end_matches(';'), "quit" | "exit" | "help")
}

/// A parsed command of the prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PromptCommand {
    /// Describe the object with a name. Without a name, list the ports and the session's tables.
    Describe(Option<String>),
    /// List the domains.
    Domains,
    /// List the nodes.
    Nodes,
    /// Show a statement's plan as a tree. Without SQL, the plan of the last statement.
    Plan(Option<String>),
    /// Show times, or not. Without an argument, toggle.
    Timing(Option<bool>),
    /// Show rows as blocks, or not. Without an argument, toggle.
    Expanded(Option<bool>),
    /// Limit the rows that are shown. Without a number, show the limit.
    Rows(Option<usize>),
    /// Change a setting. Without an argument, show all settings.
    Set(Option<(String, String)>),
    /// Copy rows between a file of this machine and the node, with these arguments.
    Copy(String),
    /// List the commands.
    Help,
    /// Quit the prompt.
    Quit,
}

impl PromptCommand {
    /// Parses a line.
    ///
    /// # Errors
    /// A command that does not exist, or arguments that the command does not accept.
    pub fn parse(line: &str) -> Result<Self> {
        let line = line.trim().trim_end_matches(';');
        let mut words = line.split_whitespace();
        let name = words.next().unwrap_or_default();
        let words: Vec<_> = words.collect();
        let switch = || match words.as_slice() {
            [] => Ok(None),
            ["on"] => Ok(Some(true)),
            ["off"] => Ok(Some(false)),
            _ => Err(Error::failed(format!("`{name}` accepts `on`, `off` or no argument"))),
        };
        Ok(match (name, words.as_slice()) {
            ("\\d", []) => Self::Describe(None),
            ("\\d", [one]) => Self::Describe(Some((*one).into())),
            ("\\dn" | "\\l", []) => Self::Domains,
            ("\\nodes", []) => Self::Nodes,
            ("\\plan", []) => Self::Plan(None),
            // Without splitting at spaces, which may be within quotes.
            ("\\plan", _) => Self::Plan(line.split_once(char::is_whitespace).map(|(_, sql)| sql.trim().into())),
            ("\\copy", _) => {
                Self::Copy(line.split_once(char::is_whitespace).map_or("", |(_, rest)| rest).trim().into())
            }
            ("\\timing", _) => Self::Timing(switch()?),
            ("\\x", _) => Self::Expanded(switch()?),
            ("\\rows", []) => Self::Rows(None),
            ("\\rows", [n]) => match n.parse::<usize>() {
                Ok(n) if n > 0 => Self::Rows(Some(n)),
                _ => return Err(Error::failed(format!("`\\rows` expects a number above 0, got `{n}`"))),
            },
            ("\\set", []) => Self::Set(None),
            ("\\set", [name, value @ ..]) if !value.is_empty() => {
                Self::Set(Some(((*name).into(), value.join(" ").trim_start_matches("= ").into())))
            }
            ("\\?" | "help", _) => Self::Help,
            ("\\q" | "quit" | "exit", []) => Self::Quit,
            (name, _) if COMMANDS.iter().any(|(command, _)| *command == name) => {
                return Err(Error::failed(format!(
                    "`{name}` does not accept these arguments; `\\?` lists the commands"
                )));
            }
            (name, _) => {
                let near = portolan_catalog::nearest::nearest(name, COMMANDS.iter().map(|(command, _)| *command));
                let hint = near.map(|near| format!(", did you mean `{near}`?")).unwrap_or_default();
                return Err(Error::failed(format!("there is no command `{name}`{hint}; `\\?` lists the commands")));
            }
        })
    }
}

/// Returns the text of `\?`.
pub fn help() -> String {
    let width = COMMANDS.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines = COMMANDS.iter().map(|(name, about)| format!("  {name:width$}  {about}\n"));
    let end = "\nStatements end with a semicolon. Tab completes, Ctrl-R searches the history, Ctrl-C cancels.\n";
    lines.collect::<String>() + end
}

/// Returns the query for every domain.
pub fn list_domains() -> String {
    "SELECT domain, node, state, products, ports FROM mesh.domains ORDER BY domain".into()
}

/// Returns the query for every node.
pub fn list_nodes() -> String {
    "SELECT url, here, state, last_seen, domains, refused, error FROM mesh.nodes ORDER BY url".into()
}

/// Returns the query for every port, and for every table and view of the session.
pub fn list_ports() -> String {
    "SELECT domain, product, port, description FROM mesh.ports UNION ALL \
     SELECT table_catalog, table_schema, table_name, \
     CASE table_type WHEN 'VIEW' THEN 'a view of this session' ELSE 'a table of this session' END \
     FROM information_schema.tables \
     WHERE table_catalog = 'portolan' AND table_schema = 'session' ORDER BY domain, product, port"
        .into()
}

/// Returns the query that describes the object called `name` (`a`, `a.b` or `a.b.c`, quoted or not).
///
/// # Errors
/// A name that does not exist, or a node that does not answer.
pub async fn describe(connection: &Connection, name: &str) -> Result<String> {
    let parts: Vec<_> = parts(name);
    for (table, condition) in candidates(&parts) {
        let (_, batches) = connection.query(&format!("SELECT count(*) FROM {table} WHERE {condition}"), 1).await?;
        let first = batches.iter().find(|batch| batch.num_rows() > 0);
        let count = first.and_then(|b| b.column(0).as_primitive_opt::<Int64Type>()).map_or(0, |c| c.value(0));
        if count > 0 {
            return Ok(match table {
                OWN_COLUMNS => format!(
                    "SELECT column_name AS \"column\", data_type AS type, is_nullable = 'YES' AS nullable \
                     FROM {table} WHERE {condition} ORDER BY table_schema, ordinal_position"
                ),
                "mesh.columns" => format!(
                    "SELECT {}\"column\", type, nullable, classification, description FROM mesh.columns WHERE \
                     {condition} ORDER BY domain, product, port, position",
                    if parts.len() == 3 { "" } else { "domain, product, port, " }
                ),
                _ => format!(
                    "SELECT domain, product, port, description FROM mesh.ports WHERE {condition} \
                     ORDER BY domain, product, port"
                ),
            });
        }
    }
    Err(Error::failed(format!("there is no domain, product, port or table `{name}`; `\\d` lists the ports")))
}

/// The table that lists the columns of the session's tables and of the node's own tables.
const OWN_COLUMNS: &str = "information_schema.columns";

/// Returns what a name can refer to: pairs of a table to search and a condition, the most likely first.
fn candidates(parts: &[String]) -> Vec<(&'static str, String)> {
    let is = |column: &str, value: &str| format!("{column} = '{}'", value.replace('\'', "''"));
    let own = |schema: &str, table: &str| {
        let (schema, table) = (is("table_schema", schema), is("table_name", table));
        (OWN_COLUMNS, format!("table_catalog = 'portolan' AND {schema} AND {table}"))
    };
    match parts {
        [one] => vec![
            own("session", one),
            ("mesh.ports", is("domain", one)),
            ("mesh.ports", is("product", one)),
            ("mesh.columns", is("port", one)),
        ],
        [a, b] => vec![
            ("mesh.ports", format!("{} AND {}", is("domain", a), is("product", b))),
            ("mesh.columns", format!("{} AND {}", is("product", a), is("port", b))),
            own(a, b),
        ],
        [a, b, c] => vec![
            ("mesh.columns", format!("{} AND {} AND {}", is("domain", a), is("product", b), is("port", c))),
            (
                OWN_COLUMNS,
                format!("{} AND {} AND {}", is("table_catalog", a), is("table_schema", b), is("table_name", c)),
            ),
        ],
        _ => vec![],
    }
}

/// Returns the parts of a dotted name, without quotes.
fn parts(name: &str) -> Vec<String> {
    use crate::lexer::{Kind, tokens};
    let names = tokens(name).into_iter().filter(|t| matches!(t.kind, Kind::Word | Kind::QuotedName));
    names.map(|t| name[t.range].trim_matches('"').replace("\"\"", "\"")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn commands_are_understood() {
        assert_eq!(PromptCommand::parse("\\d").unwrap(), PromptCommand::Describe(None));
        assert_eq!(
            PromptCommand::parse("\\d sales.orders;").unwrap(),
            PromptCommand::Describe(Some("sales.orders".into()))
        );
        assert_eq!(PromptCommand::parse(" \\timing on").unwrap(), PromptCommand::Timing(Some(true)));
        assert_eq!(PromptCommand::parse("\\x").unwrap(), PromptCommand::Expanded(None));
        assert_eq!(
            PromptCommand::parse("\\set portolan.placement off").unwrap(),
            PromptCommand::Set(Some(("portolan.placement".into(), "off".into())))
        );
        assert_eq!(PromptCommand::parse("\\plan").unwrap(), PromptCommand::Plan(None));
        assert_eq!(
            PromptCommand::parse("\\plan SELECT 'a  b';").unwrap(),
            PromptCommand::Plan(Some("SELECT 'a  b'".into()))
        );
        assert_eq!(PromptCommand::parse("quit").unwrap(), PromptCommand::Quit);
    }

    #[test]
    fn what_is_no_command_is_told_the_nearest() {
        let error = PromptCommand::parse("\\timin").unwrap_err().to_string();
        assert!(error.contains("did you mean `\\timing`?"), "{error}");
        for line in ["\\timing maybe", "\\rows 0", "\\q now", "\\d a b"] {
            assert!(PromptCommand::parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn names_cannot_break_out_of_the_question() {
        assert_eq!(parts("sales.\"my.product\".\"a\"\"b\""), ["sales", "my.product", "a\"b"]);
        let (_, condition) = candidates(&["x' OR '1'='1".into()]).remove(1);
        assert_eq!(condition, "domain = 'x'' OR ''1''=''1'");
    }
}
