//! The descriptors of the demo's domains: products and contracts over the TPC-H tables, as a domain team would write
//! them. Also those of the [calendar](crate::calendar), which the demo does not have.

pub mod policies;

use std::fs;
use std::path::{Path, PathBuf};

use portolan_node::{Error, Result};
use serde_json::Value;

macro_rules! descriptors {
    ($($domain:literal / $file:literal),* $(,)?) => {
        &[$(($domain, $file, include_str!(concat!("descriptors/", $domain, "/", $file)))),*]
    };
}

const DESCRIPTORS: &[(&str, &str, &str)] = descriptors![
    "sales" / "customers.odps.yaml",
    "sales" / "customer.odcs.yaml",
    "sales" / "orders.odps.yaml",
    "sales" / "orders.odcs.yaml",
    "sales" / "lineitem.odcs.yaml",
    "supply" / "parts.odps.yaml",
    "supply" / "part.odcs.yaml",
    "supply" / "partsupp.odcs.yaml",
    "supply" / "suppliers.odps.yaml",
    "supply" / "supplier.odcs.yaml",
    "geo" / "places.odps.yaml",
    "geo" / "nation.odcs.yaml",
    "geo" / "region.odcs.yaml",
    "calendar" / "periods.odps.yaml",
    "calendar" / "days.odcs.yaml",
];

/// The beginning of the line with the server of a contract.
const SERVER: &str = "- {server: files";

/// Writes the descriptors of `domain` over the tables in `data` to `folder/products`, and returns that folder.
///
/// # Errors
/// A folder that cannot be written.
pub fn write(domain: &str, data: &Path, folder: &Path) -> Result<PathBuf> {
    // The path is between double quotes, where YAML uses the escapes of JSON.
    let data = Value::from(data.display().to_string()).to_string();
    let data = data.trim_matches('"');
    write_with(domain, folder, &|text| text.replace("@DATA@", data))
}

/// Writes the descriptors of `domain` over the tables of a database to `folder/products`, and returns that folder.
/// `server` is the server of each contract.
///
/// # Errors
/// A folder that cannot be written.
pub fn write_over_database(domain: &str, server: &Value, folder: &Path) -> Result<PathBuf> {
    // JSON is YAML, too.
    let line = |line: &str| if line.starts_with(SERVER) { format!("- {server}") } else { line.to_owned() };
    write_with(domain, folder, &|text| text.lines().map(line).collect::<Vec<_>>().join("\n") + "\n")
}

fn write_with(domain: &str, folder: &Path, change: &dyn Fn(&str) -> String) -> Result<PathBuf> {
    let products = folder.join("products");
    fs::create_dir_all(&products).map_err(|e| Error::output(products.display(), e))?;
    for (_, file, text) in DESCRIPTORS.iter().filter(|descriptor| descriptor.0 == domain) {
        let path = products.join(file);
        fs::write(&path, change(text)).map_err(|e| Error::output(path.display(), e))?;
    }
    Ok(products)
}

#[cfg(test)]
mod tests;
