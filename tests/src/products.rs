//! Descriptors for generated products: a domain, one product, and ports over files.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// The domain of the generated products.
pub const DOMAIN: &str = "lab";

/// Returns the query for the reason why a port could not be opened.
pub fn load_error(port: &str) -> String {
    format!("SELECT load_error FROM mesh.ports WHERE port = '{port}'")
}

/// A port `<domain>.samples.<name>`.
#[derive(Clone, Debug)]
pub struct PortFile {
    /// The name of the port.
    pub name: &'static str,
    /// The server of the contract, as in ODCS, or `{"query": …}` for a derived port.
    pub server: Value,
    /// The columns: the name, the logical type, and true if the data is partitioned by the column.
    pub columns: Vec<(&'static str, &'static str, bool)>,
}

impl PortFile {
    /// Returns a port over files on local disk.
    pub fn local(name: &'static str, path: &Path, format: &str, columns: &[(&'static str, &'static str)]) -> Self {
        let server = json!({ "server": "files", "type": "local", "path": path, "format": format });
        Self { name, server, columns: columns.iter().map(|(name, kind)| (*name, *kind, false)).collect() }
    }

    /// Returns a port that is a query over other ports of the domain.
    pub fn derived(name: &'static str, query: &str, columns: &[(&'static str, &'static str)]) -> Self {
        let columns = columns.iter().map(|(name, kind)| (*name, *kind, false)).collect();
        Self { name, server: json!({ "query": query }), columns }
    }
}

/// Writes the descriptors of [`DOMAIN`]; see [`write_domain`].
pub fn write(home: &Path, ports: &[PortFile]) -> Vec<PathBuf> {
    write_domain(DOMAIN, home, ports)
}

/// Writes the descriptors to `home/products`, with one contract for each port. They are formatted, so that line numbers
/// are useful. Returns the contracts' files.
pub fn write_domain(domain: &str, home: &Path, ports: &[PortFile]) -> Vec<PathBuf> {
    let contracts: Vec<_> = ports.iter().map(|port| (port.name, contract(domain, port))).collect();
    write_contracts(domain, home, &contracts)
}

/// Writes descriptors as [`write_domain`] does. Each port has a contract.
pub fn write_contracts(domain: &str, home: &Path, contracts: &[(&str, Value)]) -> Vec<PathBuf> {
    let products = home.join("products");
    fs::create_dir_all(&products).unwrap();
    let output_ports: Vec<_> =
        contracts.iter().map(|(name, _)| json!({ "name": name, "version": "1.0.0", "contractId": name })).collect();
    let product = json!({
        "apiVersion": "v1.0.0", "kind": "DataProduct", "id": "samples", "name": "samples", "version": "1.0.0",
        "status": "active", "domain": domain, "outputPorts": output_ports,
    });
    fs::write(products.join("samples.odps.yaml"), pretty(&product)).unwrap();
    let files = contracts.iter().map(|(name, contract)| {
        let file = products.join(format!("{name}.odcs.yaml"));
        fs::write(&file, pretty(contract)).unwrap();
        file
    });
    files.collect()
}

/// Returns the contract of a port.
pub fn contract(domain: &str, port: &PortFile) -> Value {
    let properties = port.columns.iter().map(|(name, kind, partitioned)| {
        let mut property = json!({ "name": name, "partitioned": partitioned });
        // An empty type means that there is none.
        if !kind.is_empty() {
            property["logicalType"] = json!(kind);
        }
        property
    });
    let properties: Vec<_> = properties.collect();
    let mut contract = json!({
        "apiVersion": "v3.2.0", "kind": "DataContract", "id": port.name, "version": "1.0.0",
        "status": "active", "domain": domain,
        "schema": [{ "name": port.name, "properties": properties }],
    });
    match &port.server["query"] {
        Value::Null => contract["servers"] = json!([port.server]),
        query => {
            let property = json!({ "property": "portolan.query", "value": query });
            contract["schema"][0]["customProperties"] = json!([property]);
        }
    }
    contract
}

// JSON is also YAML.
fn pretty(document: &Value) -> String {
    serde_json::to_string_pretty(document).unwrap()
}
