//! The ports of the random queries in databases: a database for each domain, and the same rows in files.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow::compute::concat_batches;
use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use portolan_catalog::DatabaseKind;
use portolan_testbed::descriptors;
use portolan_testbed::tpch::{DOMAINS, TABLES};
use serde_json::json;

use super::files;
use super::made_up::REPEATED;
use crate::database_ports::DatabasePort;
use crate::duckdb::PortFiles;
use crate::products::{contract, write_contracts};
use crate::servers::{SERVER, TestDatabase, held};
use crate::ways::{ConfiguredDomain, write_parquet};

/// The domains in their databases, and the files with the same rows.
pub(super) struct InDatabases {
    pub(super) domains: Vec<ConfiguredDomain>,
    pub(super) files: Vec<PortFiles>,
}

/// Writes the ports of every domain below `folder` and into databases, whose names begin with `name`. `data` has TPC-H's
/// tables. Returns `None` without the programs of the databases.
pub(super) async fn write(kind: DatabaseKind, name: &str, folder: &Path, data: &Path) -> Option<InDatabases> {
    let (made_up, mut ports) = files::write_as(&folder.join("made-up"), &|rows| held(kind, rows));
    let mut domains = vec![];
    for (domain, products) in made_up {
        let home = folder.join("nodes").join(domain);
        let database = TestDatabase::create(kind, &format!("{name}_{domain}"), &home).await?;
        let mut contracts = vec![];
        for port in ports.iter().filter(|port| port.name.starts_with(domain)) {
            let table: &'static str = Box::leak(port.name.rsplit('.').next().unwrap().to_owned().into_boxed_str());
            let rows = read(&port.files);
            database.create_table(table, &rows, &[]).await;
            contracts.push((table, DatabasePort::table(table, &rows.schema()).contract(domain, &database.server())));
            if port.name == REPEATED {
                let repeat = files::repeat(&columns(&rows.schema()));
                contracts.push((repeat.name, contract(domain, &repeat)));
            }
        }
        write_contracts(domain, &home, &contracts);
        domains.push(configured(domain, products, home, &database));
    }
    let rows = folder.join("tpch");
    fs::create_dir_all(&rows).unwrap();
    for domain in DOMAINS {
        domains.push(tpch_domain(kind, domain, &format!("{name}_{domain}"), folder, data, &rows).await?);
    }
    ports.extend(TABLES.iter().map(|table| PortFiles {
        name: format!("{}.{}.{}", table.domain, table.product, table.name),
        files: vec![rows.join(format!("{}.parquet", table.name))],
    }));
    Some(InDatabases { domains, files: ports })
}

/// Puts a domain of TPC-H, whose tables are below `data`, into a database with this name. Writes the rows to `held_rows` as
/// the database holds them. Returns `None` without the programs of the database.
pub async fn tpch_domain(
    kind: DatabaseKind,
    domain: &'static str,
    name: &str,
    folder: &Path,
    data: &Path,
    held_rows: &Path,
) -> Option<ConfiguredDomain> {
    let home = folder.join("nodes").join(domain);
    let database = TestDatabase::create(kind, name, &home).await?;
    for table in TABLES.iter().filter(|table| table.domain == domain) {
        let file = format!("{}.parquet", table.name);
        let rows = held(kind, &read(&[data.join(&file)]));
        write_parquet(&held_rows.join(&file), &rows);
        database.create_table(table.name, &rows, &[]).await;
        // MariaDB joins without an index row by row.
        for field in rows.schema().fields().iter().filter(|field| field.name().ends_with("key")) {
            let column = field.name();
            let index = format!("CREATE INDEX {}_{column} ON {} ({column})", table.name, table.name);
            database.execute(&[index]).await;
        }
    }
    let products = descriptors::write_over_database(domain, &database.server(), &home).unwrap();
    for contract in fs::read_dir(products).unwrap() {
        let contract = contract.unwrap().path();
        // SQLite has no type with a number of digits.
        let text = fs::read_to_string(&contract).unwrap();
        let number = "    logicalType: number\n";
        fs::write(contract, text.replace(number, &format!("{number}    physicalType: DECIMAL(15,2)\n"))).unwrap();
    }
    let files = descriptors::write(domain, held_rows, &folder.join("files").join(domain)).unwrap();
    Some(configured(domain, files, home, &database))
}

fn configured(domain: &str, files: PathBuf, home: PathBuf, database: &TestDatabase) -> ConfiguredDomain {
    ConfiguredDomain { domain: domain.into(), files, home, sources: json!({ SERVER: database.source() }) }
}

/// Returns the rows of Parquet files as one batch.
fn read(files: &[PathBuf]) -> RecordBatch {
    let mut schema = None;
    let mut batches = vec![];
    for file in files {
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(file).unwrap()).unwrap().build().unwrap();
        for batch in reader {
            batches.push(batch.unwrap());
        }
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(file).unwrap()).unwrap();
        schema.get_or_insert(reader.schema().clone());
    }
    concat_batches(&schema.expect("a file"), &batches).unwrap()
}

/// Returns the names and the logical types of columns.
fn columns(schema: &Schema) -> Vec<(&'static str, &'static str)> {
    let columns = schema.fields().iter().map(|field| {
        let name: &'static str = Box::leak(field.name().clone().into_boxed_str());
        (name, crate::ways::logical_type(field.data_type()))
    });
    columns.collect()
}
