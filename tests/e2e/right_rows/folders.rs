//! Ports over folders of files that a test writes before and after its mesh starts.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::ipc::writer::FileWriter;
use portolan_tests::products::{PortFile, write_domain};
use portolan_tests::ways::Ways;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Domains whose ports read folders.
pub struct Folders {
    folder: TempDir,
    ports: BTreeMap<&'static str, Vec<PortFile>>,
    required: Vec<(&'static str, &'static str)>,
}

impl Folders {
    /// Creates the folder, without domains.
    pub fn new() -> Self {
        Self { folder: TempDir::new().unwrap(), ports: BTreeMap::new(), required: vec![] }
    }

    /// Adds the port `<domain>.samples.<name>` with these columns and their logical types. Returns its folder.
    pub fn port(
        &mut self,
        domain: &'static str,
        name: &'static str,
        format: &str,
        columns: &[(&'static str, &'static str)],
    ) -> PathBuf {
        let data = self.folder.path().join(format!("{domain}.{name}"));
        fs::create_dir_all(&data).unwrap();
        let port = PortFile::local(name, &data.join(""), format, columns);
        self.ports.entry(domain).or_default().push(port);
        data
    }

    /// Makes the contract of a port require a column.
    pub fn require(&mut self, port: &'static str, column: &'static str) {
        self.required.push((port, column));
    }

    /// Starts a mesh of the domains.
    pub async fn start(&self) -> Result<Ways, String> {
        let mut homes = vec![];
        for (domain, ports) in &self.ports {
            let home = self.folder.path().join(domain);
            for contract in write_domain(domain, &home, ports) {
                self.mark_required(&contract);
            }
            homes.push((*domain, home.join("products")));
        }
        Ways::start(&homes).await.map_err(|e| e.to_string())
    }

    fn mark_required(&self, contract: &Path) {
        let mut document: Value = serde_json::from_str(&fs::read_to_string(contract).unwrap()).unwrap();
        let port = document["id"].as_str().unwrap().to_owned();
        for property in document["schema"][0]["properties"].as_array_mut().unwrap() {
            if self.required.iter().any(|(p, column)| *p == port && property["name"] == *column) {
                property["required"] = json!(true);
            }
        }
        fs::write(contract, document.to_string()).unwrap();
    }
}

/// Writes rows as one Arrow file.
pub fn write_arrow(file: &Path, rows: &RecordBatch) {
    let mut writer = FileWriter::try_new(File::create(file).unwrap(), &rows.schema()).unwrap();
    writer.write(rows).unwrap();
    writer.finish().unwrap();
}
