//! Drafts of data products: from files or from a database, the descriptor of a product and the contracts of its ports,
//! which a node can serve as they are. Types of files are checked by reading the rows as a node reads them.

mod checks;
mod columns;
mod csv_notation;
mod database_access;
mod descriptors;
mod find_types;
mod inputs;
mod names;
mod numbers;
mod summary;
mod table_contracts;
mod tables;
mod text_types;
mod write;

use std::path::Path;
use std::sync::Arc;

use datafusion::execution::runtime_env::RuntimeEnv;
use portolan_catalog::{FileFormat, FileSource};
use portolan_connectors::files::{FileSources, FoundFiles};
use portolan_connectors::{ErrorKind, LocalDomain, SourceOpener};
use portolan_engine::{Engine, Principal, Session};

use self::checks::Rows;
use self::columns::ColumnDraft;
use self::tables::TablePorts;
use self::text_types::TextType;
use crate::{Error, NodeConfig, Result};

pub use self::database_access::{DatabaseAccess, DatabaseUrl};
pub use self::descriptors::yaml_string;
pub use self::inputs::{PortFiles, find_ports};
pub use self::names::identifier;
pub use self::tables::{TableOptions, draft_tables};
pub use self::write::{exists, exists_at};

/// The number of times that a draft is corrected after a failed check. Each time, at least one column changes.
const MAX_CORRECTIONS: usize = 3;
/// The formats in which the files of a URL without an extension are searched for.
const FORMATS: [FileFormat; 4] = [FileFormat::Parquet, FileFormat::Csv, FileFormat::Json, FileFormat::Arrow];

/// The product to draft.
#[derive(Clone, Debug)]
pub struct Product {
    /// The domain.
    pub domain: String,
    /// The name.
    pub name: String,
    /// The team or person that owns the product.
    pub owner: Option<String>,
}

/// The options of a draft.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DraftOptions {
    /// The name of the contracts' server. The node's config has options under the name. Default: `files`.
    pub server: String,
    /// The largest number of rows of a port that are read. Default: a million.
    pub rows: u64,
}

impl Default for DraftOptions {
    fn default() -> Self {
        Self { server: "files".to_owned(), rows: 1_000_000 }
    }
}

/// A drafted product.
#[derive(Clone, Debug)]
pub struct ProductDraft {
    product: Product,
    ports: Ports,
}

/// The drafted ports of a product.
#[derive(Clone, Debug)]
enum Ports {
    Files(Vec<PortDraft>),
    Tables(Box<TablePorts>),
}

/// A drafted port over rows of any kind.
trait DraftedPort {
    /// Returns the name.
    fn name(&self) -> &str;

    /// Returns the text of the contract. `folder` is the folder of the file; without it, paths are absolute.
    fn contract(&self, product: &Product, folder: Option<&Path>) -> String;

    /// Returns one line about the port.
    fn summary(&self) -> String;
}

impl DraftedPort for PortDraft {
    fn name(&self) -> &str {
        &self.name
    }

    fn contract(&self, product: &Product, folder: Option<&Path>) -> String {
        descriptors::contract(product, self, folder)
    }

    fn summary(&self) -> String {
        Self::summary(self)
    }
}

/// A drafted port over files.
#[derive(Clone, Debug)]
struct PortDraft {
    name: String,
    server: String,
    /// The files, with an absolute location.
    files: FileSource,
    /// True if the text can also be that of an older Windows: its beginning has no other letters than ASCII, and names
    /// no encoding.
    may_be_windows: bool,
    columns: Vec<ColumnDraft>,
    /// The columns that are left out, with the reasons.
    left_out: Vec<String>,
    counted: Option<Counted>,
}

/// The rows of a port that were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counted {
    rows: u64,
    /// True if the port has no more.
    is_all: bool,
}

/// Drafts a product with these ports. `config` is the config of the node that will serve the product, if it is known:
/// its options for the server hold, and its bounds of local files.
///
/// # Errors
/// Names that a product cannot have; files that cannot be read.
pub async fn draft_product(
    product: Product,
    ports: &[PortFiles],
    options: &DraftOptions,
    config: Option<&NodeConfig>,
) -> Result<ProductDraft> {
    let sources = config.map_or_else(FileSources::default, NodeConfig::file_sources);
    let drafting = Drafting { product: &product, options, sources, runtime: Arc::default() };
    let mut drafts = vec![];
    for port in ports {
        drafts.push(drafting.port(port).await?);
    }
    drafting.find_types(&mut drafts).await?;
    drafting.check(&mut drafts).await?;
    Ok(ProductDraft { product, ports: Ports::Files(drafts) })
}

struct Drafting<'a> {
    product: &'a Product,
    options: &'a DraftOptions,
    sources: FileSources,
    runtime: Arc<RuntimeEnv>,
}

impl Drafting<'_> {
    /// Drafts a port from the description of its files. Text is a string until its values are read.
    async fn port(&self, port: &PortFiles) -> Result<PortDraft> {
        let (mut files, found) = self.describe(port).await?;
        let wrong = |what: String| Error::config(format!("{}: {what}", port.location));
        let mut names = vec![];
        if files.format == FileFormat::Csv {
            let notation = csv_notation::notation(&found.beginning, found.is_whole).map_err(wrong)?;
            (files.delimiter, files.has_header) = (Some(notation.delimiter), notation.has_header);
            (files.text.quote, files.text.encoding) = (Some(notation.quote), notation.encoding.map(str::to_owned));
            names = notation.names;
            if files.has_header && found.files > 1 {
                self.add_later_names(&files, &mut names).await?;
            }
        }
        let (columns, mut left_out) = columns::drafted(&found, files.format, &names, files.has_header);
        if columns.is_empty() {
            return Err(wrong("the files have no columns".to_owned()));
        }
        if !found.has_all_columns {
            left_out.push("keys that only records far behind in the files have".to_owned());
        }
        Ok(PortDraft {
            name: port.name.clone(),
            server: self.options.server.clone(),
            may_be_windows: files.format == FileFormat::Csv
                && files.text.encoding.is_none()
                && found.beginning.is_ascii(),
            files,
            columns,
            left_out,
            counted: None,
        })
    }

    /// Adds the names that only the headers of later files have.
    async fn add_later_names(&self, files: &FileSource, names: &mut Vec<String>) -> Result<()> {
        let found = self.sources.describe(&self.options.server, files, &self.runtime).await;
        for column in found.map_err(|error| of_data(&files.location, &error))?.columns {
            if !names.contains(&column.name) {
                names.push(column.name);
            }
        }
        Ok(())
    }

    /// Describes the files of a port, in the format that the location implies, or in the first one that files have.
    async fn describe(&self, port: &PortFiles) -> Result<(FileSource, FoundFiles)> {
        let formats = port.format.map_or_else(|| FORMATS.to_vec(), |format| vec![format]);
        let mut missing = None;
        for format in formats {
            let files = FileSource::new(&port.location, "", format);
            match self.sources.describe(&self.options.server, &files, &self.runtime).await {
                Ok(found) => return Ok((files, found)),
                Err(error) if error.kind() == ErrorKind::NotFound => missing = missing.or(Some(error)),
                Err(error) => return Err(of_data(&port.location, &error)),
            }
        }
        let location = &port.location;
        Err(missing.map_or_else(|| Error::config(format!("{location} has no data")), |e| of_data(location, &e)))
    }

    /// Checks the types by reading all columns, and finds the keys and the references. A column that cannot be read as
    /// its type is a string, or else it is left out.
    async fn check(&self, ports: &mut [PortDraft]) -> Result<()> {
        for _ in 0..MAX_CORRECTIONS {
            let session = self.open(ports).await?;
            let rows = self.rows(&session);
            let mut values = vec![];
            let mut is_changed = false;
            for port in ports.iter_mut() {
                match rows.count(port).await {
                    Ok((counted, counts)) => {
                        port.counted = Some(counted);
                        values.push(counts);
                    }
                    Err(error) => {
                        let faults = rows.unreadable(port).await;
                        if faults.is_empty() {
                            return Err(of_data(&port.files.location, &error));
                        }
                        correct(port, faults)?;
                        is_changed = true;
                    }
                }
            }
            if !is_changed {
                find_keys(&rows, ports, &values).await;
                return Ok(());
            }
        }
        Err(Error::failed(
            "the types of the columns change from one read to the next: does another program write them?",
        ))
    }

    fn rows<'a>(&'a self, session: &'a Session) -> Rows<'a> {
        Rows { session, product: self.product, limit: self.options.rows }
    }

    /// Opens the ports as a node does, by their contracts, and returns a session that can query them.
    async fn open(&self, ports: &[PortDraft]) -> Result<Session> {
        let drafted: Vec<_> = ports.iter().map(|port| port as &dyn DraftedPort).collect();
        let catalog = write::load(self.product, &drafted)?;
        let mut opened = vec![];
        for port in catalog.ports() {
            opened.push(self.sources.open(port, &self.runtime).await.map_err(|error| {
                let messages: Vec<_> = error.diagnostics().0.iter().map(|fault| fault.message.as_str()).collect();
                Error::config(format!("port {}: {}", port.name.port, messages.join("; ")))
            })?);
        }
        let domain = LocalDomain::new(catalog, opened);
        let engine = Engine::builder().local_domain(domain).runtime_env(self.runtime.clone()).build()?;
        Ok(engine.session(Principal::anonymous()))
    }
}

/// Changes the columns that cannot be read.
fn correct(port: &mut PortDraft, faults: Vec<(usize, portolan_engine::Error)>) -> Result<()> {
    for (i, error) in faults.into_iter().rev() {
        let column = &mut port.columns[i];
        if is_text(port.files.format) && !column.is_partition && column.text_type.logical_type != "string" {
            let note = Some("some value is not of the type that the others have");
            column.text_type = TextType { note, ..TextType::of("string") };
            continue;
        }
        port.left_out.push(format!("`{}`: {}", column.name_in_file, error.owner_chain()));
        port.columns.remove(i);
    }
    match port.columns.is_empty() {
        true => {
            Err(Error::config(format!("{}: no column can be read: {}", port.files.location, port.left_out.join("; "))))
        }
        false => Ok(()),
    }
}

/// Finds the keys and the references. A check that fails, such as one that needs too much memory, finds nothing.
async fn find_keys(rows: &Rows<'_>, ports: &mut [PortDraft], values: &[Vec<u64>]) {
    for (port, values) in ports.iter_mut().zip(values) {
        let Some(counted) = port.counted else { continue };
        let key = rows.key(port, &counted, values).await.unwrap_or_else(|error| {
            tracing::debug!(port = %port.name, "no key was inferred: {}", error.owner_chain());
            vec![]
        });
        for (position, column) in key.into_iter().enumerate() {
            port.columns[column].key_position = Some(position + 1);
        }
    }
    for port in 0..ports.len() {
        for column in 0..ports[port].columns.len() {
            let found = rows.reference(ports, &ports[port], column).await.unwrap_or_else(|error| {
                tracing::debug!(port = %ports[port].name, "no reference was inferred: {}", error.owner_chain());
                None
            });
            ports[port].columns[column].reference = found;
        }
    }
}

fn is_text(format: FileFormat) -> bool {
    matches!(format, FileFormat::Csv | FileFormat::Json)
}

/// Returns the error about data that cannot be read.
fn of_data(location: &str, error: &portolan_engine::Error) -> Error {
    let message = error.owner_chain();
    let mut message = if message.contains(location) { message } else { format!("{location}: {message}") };
    if message.contains("`portolan.") {
        message.push_str("; a draft has no such setting: repair the file, or write the contract by hand");
    }
    match error.kind() {
        ErrorKind::SiteUnavailable | ErrorKind::InvalidQuery | ErrorKind::InvalidData | ErrorKind::NotFound => {
            Error::config(message)
        }
        _ => Error::failed(message),
    }
}

#[cfg(test)]
mod tests;
