//! The summary of a drafted product, for the person who drafts it.

use std::path::{Path, PathBuf};

use super::columns::ColumnDraft;
use super::{Counted, DatabaseAccess, DraftedPort, PortDraft, Ports, ProductDraft};

impl ProductDraft {
    /// Returns one line about each port: the rows, the columns, the key, the references, and what is left out.
    pub fn summary(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.ports().iter().map(|port| port.summary()).collect();
        if let Ports::Tables(tables) = &self.ports {
            lines.extend(tables.left_out.iter().map(|table| format!("left out the table {table}")));
        }
        lines
    }

    /// Returns the folder that the data on this machine is in. `None` if there is no such data.
    pub fn data_folder(&self) -> Option<PathBuf> {
        let ports = match &self.ports {
            Ports::Files(ports) => ports,
            Ports::Tables(tables) => return tables.access.file().and_then(Path::parent).map(Path::to_path_buf),
        };
        let local = ports.iter().map(|port| port.files.location.as_str()).filter(|path| !path.contains("://"));
        let common = |a: PathBuf, b: PathBuf| {
            a.components().zip(b.components()).take_while(|(a, b)| a == b).map(|(a, _)| a).collect::<PathBuf>()
        };
        local.map(folder_of).reduce(common)
    }

    /// Returns the access to the database that the ports are in. `None` if they are over files.
    pub fn database(&self) -> Option<&DatabaseAccess> {
        match &self.ports {
            Ports::Files(_) => None,
            Ports::Tables(tables) => Some(&tables.access),
        }
    }

    /// Returns the ports.
    pub(super) fn ports(&self) -> Vec<&dyn DraftedPort> {
        match &self.ports {
            Ports::Files(ports) => ports.iter().map(|port| port as &dyn DraftedPort).collect(),
            Ports::Tables(tables) => tables.ports.iter().map(|port| port as &dyn DraftedPort).collect(),
        }
    }

    /// Returns the name of the product.
    pub fn name(&self) -> &str {
        &self.product.name
    }

    /// Returns the full name of the first port: the domain, the product and the port.
    pub fn first_port(&self) -> Option<[&str; 3]> {
        let name = match &self.ports {
            Ports::Files(ports) => &ports.first()?.name,
            Ports::Tables(tables) => &tables.ports.first()?.name,
        };
        Some([&self.product.domain, &self.product.name, name])
    }
}

/// Returns the folder of a file, a folder or a glob.
pub(super) fn folder_of(location: &str) -> PathBuf {
    let path = Path::new(location);
    match location.find(['*', '?', '[']) {
        Some(at) => PathBuf::from(&location[..location[..at].rfind('/').map_or(0, |slash| slash + 1)]),
        None if path.is_dir() => path.to_path_buf(),
        None => path.parent().unwrap_or(path).to_path_buf(),
    }
}

/// Returns a number of things.
pub(super) fn number(n: u64, one: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") }
}

impl PortDraft {
    /// Returns the line about the port.
    pub(super) fn summary(&self) -> String {
        let counted = self.counted.unwrap_or(Counted { rows: 0, is_all: true });
        let rows = if counted.is_all {
            number(counted.rows, "row")
        } else {
            format!("at least {}", number(counted.rows, "row"))
        };
        let mut text = format!("{}: {rows}, {}", self.name, number(self.columns.len() as u64, "column"));
        // What is a guess, and would change every value.
        if !self.files.has_header {
            text.push_str(", no header");
        }
        if let Some(encoding) = &self.files.text.encoding {
            text.push_str(&format!(", encoding {encoding}"));
        }
        let mut key: Vec<&ColumnDraft> = self.columns.iter().filter(|column| column.key_position.is_some()).collect();
        key.sort_by_key(|column| column.key_position);
        if !key.is_empty() {
            let names: Vec<_> = key.iter().map(|column| column.name.as_str()).collect();
            text.push_str(&format!(", key {}", names.join(" and ")));
        }
        for column in &self.columns {
            if let Some(reference) = &column.reference {
                text.push_str(&format!(", {} refers to {}", column.name, reference.port));
            }
        }
        if !self.left_out.is_empty() {
            text.push_str(&format!(", left out {}", self.left_out.join("; ")));
        }
        text
    }
}
