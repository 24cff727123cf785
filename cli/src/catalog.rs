//! `portolan catalog`: lists, shows and checks data products, from descriptors on disk or from a running node.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use portolan_catalog::{DomainCatalog, Port, printable};
use portolan_node::{Error, Result};

use crate::connection::Connection;
use crate::lint::{self, LintArgs};
use crate::login::LoginArgs;
use crate::output::print;
use crate::render::{Drawing, Expanded, View};
use crate::repl::describe::{Description, describe};
use crate::repl::lists;

/// Arguments of `portolan catalog`.
#[derive(Args, Clone, Debug)]
pub struct CatalogArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// List the ports of all products
    List(Source),
    /// Show the ports and columns of a domain, a product or a port
    Show {
        /// `domain`, `domain.product` or `domain.product.port`
        name: String,
        #[command(flatten)]
        source: Source,
    },
    /// Check the descriptors in a folder, without a node
    Lint(LintArgs),
}

#[derive(Args, Clone, Debug)]
struct Source {
    /// Read the descriptors in this folder instead of querying a node
    #[arg(long, value_name = "DIR", conflicts_with_all = ["url", "user", "ca"])]
    products: Option<PathBuf>,
    /// The domain that the descriptors belong to [default: the `domain` of the products]
    #[arg(long, value_name = "NAME", requires = "products")]
    domain: Option<String>,
    #[command(flatten)]
    login: LoginArgs,
}

/// Runs `portolan catalog`.
///
/// # Errors
/// Invalid descriptors, a node that cannot be reached, or a name that does not exist.
pub async fn catalog(args: CatalogArgs) -> Result<()> {
    match args.action {
        Action::Lint(args) => lint::run(&args),
        Action::List(source) => match source.loaded()? {
            Some(catalog) => {
                let text = |port: &Port| format!("{}  {}", port.name, port.description.as_deref().unwrap_or_default());
                print(&catalog.ports().map(|port| line(&text(port))).collect::<String>())
            }
            None => {
                let description = Description { sql: lists::ports(None), ..Description::default() };
                print_rows(&source.connect().await?, description).await
            }
        },
        Action::Show { name, source } => match source.loaded()? {
            Some(catalog) => show(&catalog, &name),
            None => {
                let connection = source.connect().await?;
                let description = describe(&connection, &name, "`portolan catalog list`").await?;
                print_rows(&connection, description).await
            }
        },
    }
}

impl Source {
    fn loaded(&self) -> Result<Option<DomainCatalog>> {
        let Some(products) = &self.products else { return Ok(None) };
        Ok(Some(lint::load(products, self.domain.as_deref())?))
    }

    async fn connect(&self) -> Result<Connection> {
        Connection::open(&self.login.target()?).await
    }
}

/// The largest number of rows of a list that are shown.
const LIMIT: usize = 100_000;

async fn print_rows(connection: &Connection, description: Description) -> Result<()> {
    let (schema, batches) = connection.query(&description.sql, LIMIT).await?;
    let shown = |e| Error::failed("cannot show the rows").with_source(e);
    let view = View { expanded: Expanded::Off, title: description.title, notes: description.notes };
    let mut drawing = Drawing::new(schema, view, None);
    let text = drawing.draw(&batches).map_err(shown)?;
    print(&(text + &drawing.end(None, None).map_err(shown)?))
}

/// Returns the text as one line that is safe to show.
fn line(text: &str) -> String {
    format!("{}\n", printable(text))
}

fn show(catalog: &DomainCatalog, name: &str) -> Result<()> {
    let parts: Vec<_> = name.split('.').collect();
    let matches = |port: &&Port| {
        let full = [port.name.domain.as_str(), port.name.product.as_str(), port.name.port.as_str()];
        parts.len() <= full.len() && parts.iter().zip(full).all(|(part, name)| *part == name)
    };
    let ports: Vec<_> = catalog.ports().filter(matches).collect();
    if ports.is_empty() {
        let names = catalog.ports().map(|port| port.name.to_string()).collect::<Vec<_>>();
        let hint = portolan_catalog::nearest::nearest(name, names.iter().map(String::as_str));
        let hint = hint.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        return Err(Error::failed(format!("there is no domain, product or port `{name}`{hint}")));
    }
    let mut text = String::new();
    for port in ports {
        text.push_str(&line(&format!("{}  {}", port.name, port.description.as_deref().unwrap_or_default())));
        for column in &port.columns {
            let kind = column.logical_type.as_deref().unwrap_or("");
            let classified = column.classification.as_deref().map(|c| format!("[{c}] ")).unwrap_or_default();
            let about = column.description.as_deref().unwrap_or_default();
            text.push_str(&line(&format!("  {:<24} {kind:<10} {classified}{about}", column.name)));
        }
    }
    print(&text)
}
