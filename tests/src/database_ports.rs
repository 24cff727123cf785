//! Ports over the tables of a database: their contracts, and a node in this process that opens them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

use arrow::datatypes::{DataType, Schema};
use portolan_node::{Node, NodeConfig, Result};
use serde_json::{Value, json};

use crate::mesh::merged;
use crate::products::{PortFile, contract, write_contracts};
use crate::servers::{SERVER, TestDatabase};
use crate::ways::port_of;

/// A port over a table, a view or a query of a database.
#[derive(Clone, Debug)]
pub struct DatabasePort {
    /// The name of the port, and of the table unless `rows` has another one.
    pub name: &'static str,
    /// The rows of the port in the database.
    pub rows: Stored,
    /// The columns.
    pub schema: Schema,
}

/// The rows of a port in a database.
#[derive(Clone, Debug)]
pub enum Stored {
    /// The table or the view with the name of the port.
    Table,
    /// A table or a view with this `physicalName`.
    Named(String),
    /// A query in the SQL of the database.
    Query(String),
}

impl DatabasePort {
    /// Returns the port over the table of the same name.
    pub fn table(name: &'static str, schema: &Schema) -> Self {
        Self { name, rows: Stored::Table, schema: schema.clone() }
    }

    /// Returns the port over a query.
    pub fn query(name: &'static str, sql: &str, schema: &Schema) -> Self {
        Self { name, rows: Stored::Query(sql.into()), schema: schema.clone() }
    }

    /// Returns the contract of the port.
    pub fn contract(&self, domain: &str, server: &Value) -> Value {
        let columns = port_of(
            self.name,
            Path::new(""),
            "parquet",
            &arrow::array::RecordBatch::new_empty(self.schema.clone().into()),
        );
        let mut contract = contract(domain, &PortFile { server: server.clone(), ..columns });
        let object = &mut contract["schema"][0];
        for (i, field) in self.schema.fields().iter().enumerate() {
            // A contract says how many digits a number has.
            if let DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) = field.data_type() {
                object["properties"][i]["physicalType"] = json!(format!("DECIMAL({precision},{scale})"));
            }
        }
        match &self.rows {
            Stored::Table => {}
            Stored::Named(name) => object["physicalName"] = json!(name),
            Stored::Query(sql) => {
                object["customProperties"] = json!([{ "property": "portolan.query", "value": sql }]);
            }
        }
        contract
    }
}

/// Writes the descriptors of a domain over a database to `home/products`. Returns the contracts' files.
pub fn write_ports(domain: &str, home: &Path, server: &Value, ports: &[DatabasePort]) -> Vec<PathBuf> {
    let contracts: Vec<_> = ports.iter().map(|port| (port.name, port.contract(domain, server))).collect();
    write_contracts(domain, home, &contracts)
}

/// Returns the config of the node of a domain over a database, with these additions.
pub fn config(domain: &str, database: &TestDatabase, more: &Value) -> Value {
    merged(json!({ "domain": domain, "sources": { SERVER: database.source() } }), more)
}

/// Builds the node in `home` with this config in this process. Every port must open.
///
/// # Errors
/// The faults of the config, of the descriptors and of the ports.
pub async fn open_node(home: &Path, config: &Value) -> Result<Node> {
    fs::create_dir_all(home).unwrap();
    let file = home.join("node.yaml");
    // JSON is YAML, too.
    fs::write(&file, config.to_string()).unwrap();
    Node::builder().config(NodeConfig::load(&file)?).without_services().require_sources().build().await
}
