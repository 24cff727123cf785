//! Descriptors for products that a test makes up: a domain, one product, ports over files.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// The domain of made-up products.
pub const DOMAIN: &str = "lab";

/// A port `<domain>.samples.<name>`.
#[derive(Clone, Debug)]
pub struct PortFile {
    /// Its name.
    pub name: &'static str,
    /// The contract's server, as ODCS says it.
    pub server: Value,
    /// Its columns: name, logical type, and whether the data is partitioned by it.
    pub columns: Vec<(&'static str, &'static str, bool)>,
}

impl PortFile {
    /// A port over files on local disk.
    pub fn local(name: &'static str, path: &Path, format: &str, columns: &[(&'static str, &'static str)]) -> Self {
        let server = json!({ "server": "files", "type": "local", "path": path, "format": format });
        Self { name, server, columns: columns.iter().map(|(name, kind)| (*name, *kind, false)).collect() }
    }
}

/// Writes the descriptors of [`DOMAIN`]; see [`write_domain`].
pub fn write(home: &Path, ports: &[PortFile]) -> Vec<PathBuf> {
    write_domain(DOMAIN, home, ports)
}

/// Writes the descriptors to `home/products`, one contract a port, pretty enough for lines to mean something. Returns
/// the contracts' files.
pub fn write_domain(domain: &str, home: &Path, ports: &[PortFile]) -> Vec<PathBuf> {
    let products = home.join("products");
    fs::create_dir_all(&products).unwrap();
    let output_ports: Vec<_> =
        ports.iter().map(|p| json!({ "name": p.name, "version": "1.0.0", "contractId": p.name })).collect();
    let product = json!({
        "apiVersion": "v1.0.0", "kind": "DataProduct", "id": "samples", "name": "samples", "version": "1.0.0",
        "status": "active", "domain": domain, "outputPorts": output_ports,
    });
    fs::write(products.join("samples.odps.yaml"), pretty(&product)).unwrap();
    ports
        .iter()
        .map(|port| {
            let properties: Vec<_> = port
                .columns
                .iter()
                .map(|(name, kind, partitioned)| {
                    let mut property = json!({ "name": name, "partitioned": partitioned });
                    // An empty type stands for none.
                    if !kind.is_empty() {
                        property["logicalType"] = json!(kind);
                    }
                    property
                })
                .collect();
            let contract = json!({
                "apiVersion": "v3.2.0", "kind": "DataContract", "id": port.name, "version": "1.0.0",
                "status": "active", "domain": domain, "servers": [port.server],
                "schema": [{ "name": port.name, "properties": properties }],
            });
            let file = products.join(format!("{}.odcs.yaml", port.name));
            fs::write(&file, pretty(&contract)).unwrap();
            file
        })
        .collect()
}

// JSON is YAML, too.
fn pretty(document: &Value) -> String {
    serde_json::to_string_pretty(document).unwrap()
}
