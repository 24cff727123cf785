//! Code that the end-to-end tests share with tools for experiments by hand.

pub mod admin;
pub mod collector;
pub mod conformance;
pub mod crossed;
pub mod damaging_proxy;
pub mod duckdb;
pub mod floors;
pub mod forced;
pub mod go;
pub mod java;
pub mod lying_peer;
pub mod mesh;
pub mod node;
pub mod npm;
pub mod parquet_files;
pub mod products;
pub mod python;
pub mod random_queries;
pub mod recording_server;
pub mod rows;
pub mod sql_site;
pub mod terminal;
pub mod ways;
