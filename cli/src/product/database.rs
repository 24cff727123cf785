//! The arguments about a database that a product is drafted from, the password of the account, and what a node's config
//! needs for the database.

use std::convert::Infallible;
use std::fmt;
use std::io::IsTerminal;
use std::str::FromStr;
use std::sync::Arc;

use clap::Args;
use indicatif::ProgressBar;
use portolan_catalog::{DatabaseKind, printable};
use portolan_connectors::DatabaseOptions;
use portolan_node::Progress;
use portolan_node::draft::{DatabaseAccess, DatabaseUrl, Product, ProductDraft, TableOptions, draft_tables};
use portolan_node::{Error, NodeConfig, Result};

use super::init::ProductOptions;
use super::progress_bar;
use crate::output::print_error;
use crate::password;
use crate::questions::Questions;

/// Arguments about the database that a product is drafted from.
#[derive(Args, Clone, Debug)]
pub struct DatabaseArgs {
    /// Draft from the tables and views of a database: postgres://USER@HOST/DATABASE, mariadb://…, mysql://…, or
    /// sqlite:///FILE
    #[arg(long, value_name = "URL")]
    pub from: Option<UrlArgument>,
    /// With --from: the schema in the database [default: public]
    #[arg(long, value_name = "NAME", requires = "from")]
    pub schema: Option<String>,
    /// With --from: only these tables and views. Names, or globs between quotes, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',', requires = "from")]
    pub tables: Vec<String>,
    /// With --from: the environment variable that has the password, also for the node [default: PGPASSWORD or MYSQL_PWD,
    /// or a prompt]
    #[arg(long, value_name = "NAME", requires = "from")]
    pub password_env: Option<String>,
}

/// The URL of a database, which may have a password: `Debug` does not show it.
#[derive(Clone)]
pub struct UrlArgument(String);

impl FromStr for UrlArgument {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for UrlArgument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Drafts the product of the database `from`, and asks for what the arguments do not say. `config` is the config of the
/// node that will serve the product, if there is one: its account for the database is used, unless the arguments have a
/// password.
///
/// # Errors
/// Arguments that are not valid; a database that cannot be read.
pub(super) async fn draft_database(
    options: &ProductOptions,
    from: &UrlArgument,
    domain: &str,
    questions: Questions,
    config: Option<&NodeConfig>,
) -> Result<ProductDraft> {
    let mut url = DatabaseUrl::parse(&from.0)?;
    if let Some(schema) = &options.database.schema {
        url.set_schema(schema)?;
    }
    let has_password = url.password.is_some() || options.database.password_env.is_some();
    let config = config.filter(|_| !has_password);
    let configured = config.and_then(|config| url.configured(options.server.as_deref(), config));
    if configured.is_none() && url.user.is_none() && url.kind != DatabaseKind::Sqlite {
        url.user = Some(questions.text(None, "account of the database", &account_default())?);
    }
    let named = configured.map(|(name, _)| name.to_owned());
    let server = named.or_else(|| options.server.clone()).unwrap_or_else(|| url.server_name());
    let name = questions.text(options.product.as_deref(), "product", &url.product_name())?;
    let owner = questions.optional(options.owner.as_deref(), "team that owns it (may be empty)")?;
    let (connection, variable) = match configured {
        Some((name, account)) => {
            let name = printable(name);
            print_error(&format!("The account is that of `sources.{name}.database` in the config of the node.\n"));
            (account.clone(), None)
        }
        None => new_account(&url, &server, options.database.password_env.as_deref(), questions)?,
    };
    let bar = std::io::stderr().is_terminal().then(progress_bar);
    let mut tables = TableOptions::default();
    (tables.tables, tables.ports) = (options.database.tables.clone(), options.ports.clone());
    tables.progress = bar.clone().map(progress);
    let product = Product { domain: domain.to_owned(), name, owner };
    let access = url.access(server, variable);
    let draft = draft_tables(product, access, &connection, &tables).await;
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    draft
}

/// Returns the options of a connection with an account that no config has, and the variable of the node that has the
/// password. Asks for the password if neither the arguments nor the environment have it.
fn new_account(
    url: &DatabaseUrl,
    server: &str,
    password_env: Option<&str>,
    questions: Questions,
) -> Result<(DatabaseOptions, Option<String>)> {
    let own = own_variable(server);
    let given = |name: &str| std::env::var(name);
    let (password, variable) = match known_password(url, password_env, &own, given)? {
        Some((password, variable)) => (Some(password), Some(variable)),
        None => asked_password(url, own, questions)?,
    };
    if url.password.is_some() {
        let variable = variable.as_deref().unwrap_or_default();
        print_error(&format!(
            "warning: the URL has a password, and other users of this machine can see the arguments of a command. No file \
             has it: the node reads the password from the environment variable {variable}. `--password-env` avoids this\n"
        ));
    }
    Ok((url.options(password), variable))
}

fn progress(bar: ProgressBar) -> Progress {
    Arc::new(move |what: &str| bar.set_message(printable(what).into_owned()))
}

/// Returns the name of the account of the person who runs the command, which databases assume too.
fn account_default() -> String {
    let names = ["USER", "USERNAME"].into_iter().filter_map(|variable| std::env::var(variable).ok());
    names.into_iter().find(|name| !name.is_empty()).unwrap_or_else(|| "root".to_owned())
}

/// Returns the variable with the password that only this server of contracts uses.
fn own_variable(server: &str) -> String {
    let letters = server.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' });
    let name: String = letters.collect();
    let digit = if name.starts_with(|c: char| c.is_ascii_digit()) { "_" } else { "" };
    format!("{digit}{name}_PASSWORD")
}

/// Returns the password that the arguments or the environment have, and the variable of the node that has the password.
/// `variable` reads the environment, and `own` is the variable of the server.
fn known_password<E>(
    url: &DatabaseUrl,
    password_env: Option<&str>,
    own: &str,
    variable: impl Fn(&str) -> Result<String, E>,
) -> Result<Option<(String, String)>> {
    let Some(usual) = url.usual_variable() else {
        return match password_env {
            Some(name) => Err(Error::config(format!("SQLite has no passwords: leave out `--password-env {name}`"))),
            None => Ok(None),
        };
    };
    if let Some(password) = &url.password {
        return Ok(Some((password.clone(), password_env.unwrap_or(own).to_owned())));
    }
    match password_env {
        Some(name) => match variable(name) {
            Ok(password) => Ok(Some((password, name.to_owned()))),
            Err(_) => Err(Error::config(format!(
                "the environment variable `{name}` of `--password-env` is not set, or is not text"
            ))),
        },
        None => {
            let found = [own, usual].into_iter().find_map(|name| Some((variable(name).ok()?, name.to_owned())));
            Ok(found.filter(|(password, _)| !password.is_empty()))
        }
    }
}

/// Asks for the password on a terminal. An empty one is none.
fn asked_password(url: &DatabaseUrl, own: String, questions: Questions) -> Result<(Option<String>, Option<String>)> {
    if url.kind == DatabaseKind::Sqlite || !questions.is_asking() {
        return Ok((None, None));
    }
    let user = url.user.as_deref().unwrap_or_default();
    let prompt = format!("password of {} at {} (may be empty): ", printable(user), printable(&url.shown()));
    let password = password::ask(&prompt)?;
    Ok(if password.is_empty() { (None, None) } else { (Some(password), Some(own)) })
}

/// Returns what the config and the environment of a node need for a database. Empty if the config has an entry already,
/// and nothing else is missing.
pub fn access_hint(access: &DatabaseAccess, config: Option<&NodeConfig>) -> String {
    let mut text = String::new();
    let is_missing = config.is_none_or(|config| !config.sources.contains_key(access.server()));
    if let Some(entry) = access.config().filter(|_| is_missing) {
        text.push_str(&format!("The config of the node also needs the access to the database:\nsources:\n{entry}"));
    }
    text + &variable_hint(access)
}

/// Returns a line about ports that were not tested, because this process does not have the password.
pub fn untested_hint(access: &DatabaseAccess) -> String {
    match access.password_variable().filter(|_| !has_password(access)) {
        Some(variable) => format!(
            "The ports were not tested, because {variable} is not set here. The node reads the password from it, so first: \
             export {variable}=…\n"
        ),
        None => String::new(),
    }
}

/// Returns a line about the environment variable that a node needs, if this process does not have it.
fn variable_hint(access: &DatabaseAccess) -> String {
    match access.password_variable().filter(|_| !has_password(access)) {
        Some(variable) => format!("The node reads the password from its environment: export {variable}=…\n"),
        None => String::new(),
    }
}

/// True if a node with the environment of this process has the password of the database, or needs none.
pub fn has_password(access: &DatabaseAccess) -> bool {
    access.password_variable().is_none_or(|variable| std::env::var_os(variable).is_some())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn found(url: &str, password_env: Option<&str>, environment: &[(&str, &str)]) -> Result<Option<(String, String)>> {
        let variable = |name: &str| {
            let value = environment.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
            value.ok_or(())
        };
        known_password(&DatabaseUrl::parse(url).unwrap(), password_env, "SHOP_PASSWORD", variable)
    }

    fn pair(password: &str, variable: &str) -> Option<(String, String)> {
        Some((password.to_owned(), variable.to_owned()))
    }

    #[test]
    fn the_password_comes_from_the_url_or_from_a_variable() {
        let all = [("MINE", "a"), ("SHOP_PASSWORD", "b"), ("PGPASSWORD", "c"), ("MYSQL_PWD", "d"), ("EMPTY", "")];
        let url = "postgres://ann:e@h/shop";
        assert_eq!(found(url, None, &all).unwrap(), pair("e", "SHOP_PASSWORD"));
        assert_eq!(found(url, Some("MINE"), &all).unwrap(), pair("e", "MINE"));
        let url = "postgres://ann@h/shop";
        assert_eq!(found(url, Some("MINE"), &all).unwrap(), pair("a", "MINE"));
        assert_eq!(found(url, None, &all).unwrap(), pair("b", "SHOP_PASSWORD"));
        assert_eq!(found(url, None, &all[2..]).unwrap(), pair("c", "PGPASSWORD"));
        assert_eq!(found("mysql://ann@h/shop", None, &all[2..]).unwrap(), pair("d", "MYSQL_PWD"));
        assert_eq!(found(url, None, &[("PGPASSWORD", "")]).unwrap(), None);
        let refused = found(url, Some("OTHER"), &all).unwrap_err().owner_chain();
        assert!(refused.contains("the environment variable `OTHER` of `--password-env` is not set"), "{refused}");
    }

    #[test]
    fn a_server_has_a_variable_of_its_own() {
        for (server, expected) in
            [("shop", "SHOP_PASSWORD"), ("my-shop.1", "MY_SHOP_1_PASSWORD"), ("1a", "_1A_PASSWORD")]
        {
            assert_eq!(own_variable(server), expected);
        }
    }

    #[test]
    fn the_arguments_show_no_password() {
        let url: UrlArgument = "postgres://ann:hunter2@h/shop".parse().unwrap();
        assert_eq!(format!("{url:?}"), "***");
    }
}
