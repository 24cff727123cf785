//! `portolan product init`: drafts a product and its contracts from data, and writes them to new files.

use std::path::{Path, PathBuf};

use clap::Args;
use portolan_catalog::{DomainName, Warning, lint, load_domain, printable};
use portolan_node::draft::{
    DatabaseAccess, DraftOptions, PortFiles, Product, ProductDraft, draft_product, find_ports, identifier, yaml_string,
};
use portolan_node::product_test::{TestOptions, test_products};
use portolan_node::{Error, NodeConfig, Result};

use super::database::{DatabaseArgs, access_hint, draft_database};
use super::next_steps::{NextSteps, argument};
use super::{CONFIG, PRODUCTS};
use crate::output::print;
use crate::questions::Questions;
use crate::units::show_number;

/// Names of folders that say nothing about a product.
const GENERIC: [&str; 5] = ["", "data", "tmp", "files", "input"];

/// Arguments of `portolan product init`.
#[derive(Args, Clone, Debug)]
pub struct ProductInitArgs {
    /// Files, folders, globs between quotes, or URLs of an object store. Each is a port. So is each file of a folder
    #[arg(required_unless_present = "from", conflicts_with = "from", value_name = "PATH")]
    pub data: Vec<String>,
    #[command(flatten)]
    product: ProductOptions,
    /// The domain [default: that of the node's config]
    #[arg(long, value_name = "NAME")]
    pub domain: Option<String>,
    /// The config of the node that will serve the product [default: node.yaml, if there is one]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The folder for the new files [default: one with the product's name, in the products folder]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Ask nothing: accept the defaults
    #[arg(long)]
    pub yes: bool,
}

/// Arguments about the product, which `portolan init` has too.
#[derive(Args, Clone, Debug)]
pub struct ProductOptions {
    /// The name of the product [default: that of the data's folder, of the schema or database, or of the domain]
    #[arg(long, value_name = "NAME")]
    pub product: Option<String>,
    /// The name of a port, one for each port in their order [default: the names of files, folders or tables]
    #[arg(long = "port", value_name = "NAME")]
    pub ports: Vec<String>,
    /// The team or person that owns the product
    #[arg(long, value_name = "NAME")]
    pub owner: Option<String>,
    /// The name of the contracts' server. The node's config has the options of an object store or a database under this
    /// name [default: files, or the name of the database]
    #[arg(long, value_name = "NAME")]
    pub server: Option<String>,
    /// The largest number of rows of a port that are read from files
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub rows: u64,
    /// The database, and the account that reads it
    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// Drafts a product, writes it, checks what it wrote, and prints how to go on.
///
/// # Errors
/// Files that exist already; data that cannot be read; names that are not valid.
pub async fn product_init(args: ProductInitArgs) -> Result<()> {
    let questions = Questions::new(args.yes);
    let config_file = args.config.clone().or_else(|| Path::new(CONFIG).exists().then(|| CONFIG.into()));
    let config = config_file.as_deref().map(NodeConfig::load).transpose()?;
    let domain = domain(&args, config.as_ref(), questions)?;
    let products = config.as_ref().and_then(NodeConfig::products_folder).unwrap_or(Path::new(PRODUCTS));
    let draft = args.product.draft(&args.data, &domain, questions, config.as_ref()).await?;
    check_new(&domain, products, draft.name())?;
    let out = args.out.clone().unwrap_or_else(|| products.join(folder_name(draft.name())));
    let written = draft.write(&out)?;
    print(&report(&draft, &written))?;
    print(&match out.starts_with(products) {
        true => lint_line(&domain, products, draft.name())?,
        false => lint_alone(&domain, &written, draft.name())?,
    })?;
    let steps = NextSteps { config: config.as_ref(), config_file: config_file.as_deref(), domain: &domain };
    print(&steps.text(draft.first_port()))?;
    print(&source_hint(&args.product, &draft, config.as_ref()))
}

/// Returns what the config of the node needs for the data of a product.
fn source_hint(options: &ProductOptions, draft: &ProductDraft, config: Option<&NodeConfig>) -> String {
    let mut text = draft.database().map(|access| access_hint(access, config)).unwrap_or_default();
    if config.is_none()
        && let Some(folder) = draft.data_folder().filter(|folder| !is_here(folder))
    {
        let server = options.server_of(draft);
        let folder = printable(&folder.display().to_string()).into_owned();
        let setting = format!("sources: {{{}: {{root: {}}}}}", yaml_string(server), yaml_string(&folder));
        text.push_str(&format!(
            "A node reads data in its own folder. For this data, its config also needs\n  {setting}\n"
        ));
    }
    text
}

/// True if a folder is in the current folder.
fn is_here(folder: &Path) -> bool {
    std::env::current_dir().and_then(|here| here.canonicalize()).is_ok_and(|here| folder.starts_with(here))
}

/// Returns the domain of the new product.
fn domain(args: &ProductInitArgs, config: Option<&NodeConfig>, questions: Questions) -> Result<String> {
    let of_config = config.and_then(|config| config.domain.as_ref()).map(DomainName::as_str);
    match (&args.domain, of_config) {
        (Some(given), Some(served)) if given != served => {
            Err(Error::config(format!("the config has the domain `{served}`, got `--domain {given}`: leave it out")))
        }
        (_, Some(served)) => Ok(served.to_owned()),
        (None, None) if config.is_some() => {
            Err(Error::config("the config has no `domain`: a gateway serves no products of its own"))
        }
        (Some(given), None) => Ok(given.clone()),
        (None, None) if !questions.is_asking() => {
            Err(Error::config("expected `--domain`, or a `node.yaml` in this folder with a domain"))
        }
        (None, None) => questions.text(None, "domain", &folder_default(Path::new("."))),
    }
}

/// Returns the name of a folder as the name of a domain or a product.
pub fn folder_default(folder: &Path) -> String {
    let path = std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf());
    path.file_name().map(|name| identifier(&name.to_string_lossy())).unwrap_or_default()
}

/// Returns the folder of a product with this name.
pub fn folder_name(product: &str) -> String {
    let name = identifier(product);
    if name.is_empty() { "product".to_owned() } else { name }
}

impl ProductOptions {
    /// Drafts the product, and asks for what the arguments do not say.
    ///
    /// # Errors
    /// As [`product_init`].
    pub async fn draft(
        &self,
        data: &[String],
        domain: &str,
        questions: Questions,
        config: Option<&NodeConfig>,
    ) -> Result<ProductDraft> {
        if let Some(from) = &self.database.from {
            return draft_database(self, from, domain, questions, config).await;
        }
        let mut ports = find_ports(data)?;
        self.name(&mut ports)?;
        let name = questions.text(self.product.as_deref(), "product", &product_default(data, domain))?;
        let owner = questions.optional(self.owner.as_deref(), "team that owns it (may be empty)")?;
        let product = Product { domain: domain.to_owned(), name, owner };
        let mut options = DraftOptions::default();
        options.rows = self.rows;
        if let Some(server) = &self.server {
            options.server.clone_from(server);
        }
        draft_product(product, &ports, &options, config).await
    }

    /// Returns the name of the server in the contracts of a draft.
    pub fn server_of<'a>(&'a self, draft: &'a ProductDraft) -> &'a str {
        draft.database().map_or(self.server.as_deref().unwrap_or("files"), DatabaseAccess::server)
    }

    /// Gives the ports the names of the arguments.
    fn name(&self, ports: &mut [PortFiles]) -> Result<()> {
        if self.ports.is_empty() {
            return Ok(());
        }
        if self.ports.len() != ports.len() {
            let found: Vec<_> = ports.iter().map(|port| format!("{} ({})", port.name, port.location)).collect();
            let (expected, got) = (ports.len(), self.ports.len());
            let message = format!("expected {expected} times `--port`, got {got}: the ports are {}", found.join(", "));
            return Err(Error::config(message));
        }
        if let Some((_, twice)) = self.ports.iter().enumerate().find(|(i, name)| self.ports[..*i].contains(name)) {
            return Err(Error::config(format!("`--port {twice}` names two ports: choose different names")));
        }
        ports.iter_mut().zip(&self.ports).for_each(|(port, name)| port.name.clone_from(name));
        Ok(())
    }
}

/// Returns the name of the data's folder if there is one folder, or else that of the domain.
fn product_default(data: &[String], domain: &str) -> String {
    let [only] = data else { return domain.to_owned() };
    let path = Path::new(only);
    let name = if path.is_dir() { folder_default(path) } else { String::new() };
    if GENERIC.contains(&name.as_str()) { domain.to_owned() } else { name }
}

/// Checks that the descriptors of the domain are valid, and do not have the product already.
///
/// # Errors
/// Every fault.
fn check_new(domain: &str, products: &Path, product: &str) -> Result<()> {
    if !products.exists() {
        return Ok(());
    }
    let catalog = load_domain(&DomainName::new(domain), products)?;
    match catalog.products.keys().any(|name| name.as_str() == product) {
        true => Err(Error::config(format!(
            "the domain {domain} has a product `{product}` already, in {}: choose another name with `--product`",
            products.display()
        ))),
        false => Ok(()),
    }
}

/// Checks that a node with this config can read the ports of a product.
///
/// # Errors
/// The ports that the node cannot read, with the reasons.
pub async fn check_readable(config: &NodeConfig, domain: &str, product: &str) -> Result<()> {
    let report = test_products(config, &TestOptions::default()).await?;
    let prefix = format!("{domain}.{product}.");
    let own = report.ports.iter().filter(|port| port.port.starts_with(&prefix));
    let faults: Vec<&str> = own.filter_map(|port| port.error.as_deref()).collect();
    if faults.is_empty() { Ok(()) } else { Err(Error::config(faults.join("\n"))) }
}

/// Returns the new files, and what the ports have.
pub fn report(draft: &ProductDraft, written: &[PathBuf]) -> String {
    let files = written.iter().map(|path| format!("wrote {}\n", printable(&path.display().to_string())));
    files.chain(draft.summary().iter().map(|line| format!("{}\n", printable(line)))).collect()
}

/// Checks the descriptors of a domain, and returns a line about the warnings of a product.
///
/// # Errors
/// Invalid descriptors.
pub fn lint_line(domain: &str, products: &Path, product: &str) -> Result<String> {
    let warnings = warnings(domain, products, product)?;
    let (domain, products) = (argument(domain), argument(&products.display().to_string()));
    let list = format!("; to list them: portolan catalog lint --domain {domain} --products {products}");
    Ok(if warnings.is_empty() { "lint: no errors\n".to_owned() } else { format!("lint: {}{list}\n", count(&warnings)) })
}

/// Checks descriptors outside of a products folder, where other files may be, and returns a line about the warnings.
fn lint_alone(domain: &str, written: &[PathBuf], product: &str) -> Result<String> {
    let folder = tempfile::tempdir().map_err(|e| Error::output("the temporary folder", e))?;
    for file in written {
        let name = file.file_name().unwrap_or_default();
        std::fs::copy(file, folder.path().join(name)).map_err(|e| Error::output("the temporary folder", e))?;
    }
    Ok(format!("lint: {}\n", count(&warnings(domain, folder.path(), product)?)))
}

/// Returns the warnings about a product.
fn warnings(domain: &str, products: &Path, product: &str) -> Result<Vec<Warning>> {
    let catalog = load_domain(&DomainName::new(domain), products)?;
    let own = format!("{domain}.{product}");
    let of_ports = format!("{own}.");
    let is_own = |warning: &Warning| warning.subject == own || warning.subject.starts_with(&of_ports);
    Ok(lint(&catalog).into_iter().filter(is_own).collect())
}

fn count(warnings: &[Warning]) -> String {
    match warnings.len() {
        0 => "no errors".to_owned(),
        n => format!("no errors, {}", show_number(n as u64, "warning")),
    }
}
