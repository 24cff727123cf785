//! The `portolan` command line as a library: nodes from config files, the prompt, the demo and its TPC-H data. The
//! binary is a thin shell around it; tests and benchmarks use the demo's parts.

pub mod catalog;
pub mod connection;
pub mod demo;
pub mod exit;
pub mod lexer;
pub mod node_key;
pub mod output;
pub mod password;
pub mod place;
pub mod render;
pub mod repl;
pub mod serve;
pub mod sql;
pub mod units;
