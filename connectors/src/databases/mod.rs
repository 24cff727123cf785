//! Ports over the tables, views and queries of databases. What all databases have in common is here: opening a port,
//! comparing its contract with the real table, the site that gets fragments in SQL, and the writers. One folder for each
//! kind of database beside this one has the driver: an implementation of `Database`.

#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) mod calendar;
mod client;
mod connect;
mod database;
mod fit;
mod inspect;
mod on_runtime;
mod opener;
#[cfg(any(feature = "postgres", feature = "mysql"))]
pub(crate) mod pool;
mod scan;
mod site;
mod table;
mod target;
#[cfg(test)]
mod tests;
#[cfg(any(feature = "postgres", feature = "mysql"))]
pub(crate) mod tls;
mod writer;

pub(crate) use database::{
    Database, DescribedColumn, DescribedTable, Origin, Reference, RunContext, TableName, TableStatistics,
};
pub use inspect::{DatabaseInspector, InspectedColumn, InspectedName, InspectedReference, InspectedTable};
pub use opener::DatabaseSources;
