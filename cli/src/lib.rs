//! The `portolan` command line as a library: its commands, the prompt and the demo. The binary is a thin layer above
//! the library, and the benchmarks use parts of it.

pub mod audit;
pub mod catalog;
pub mod connection;
pub mod demo;
pub mod escaping;
pub mod exit;
pub mod init;
pub mod lexer;
mod lint;
pub mod local_files;
pub mod log;
pub mod login;
pub mod node_key;
pub mod output;
pub mod password;
pub mod place;
pub mod policy;
pub mod product;
pub mod questions;
pub mod render;
pub mod repl;
pub mod serve;
pub mod sql;
pub mod terminal;
pub mod units;
