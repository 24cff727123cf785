//! The options that measurements share, and the steps that measurements with these options take.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use portolan_cli::demo::tpch_data;
use portolan_node::{Error, Result};
use portolan_testbed::tpch::cache::cache_folder;
use tokio_util::sync::CancellationToken;

use crate::machine;
use crate::table::Table;

/// The options of a measurement over the data of TPC-H, and of the output.
#[derive(Args)]
pub struct RunArgs {
    /// The scale factor of the data: 1 is about a gigabyte
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR")]
    pub scale: f64,
    /// The number of times to measure each side. The medians are reported
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub runs: u32,
    /// The output format
    #[arg(long, value_enum, default_value_t = Format::Markdown)]
    pub format: Format,
}

/// The options of a measurement of TPC-H's queries.
#[derive(Args)]
pub struct BenchArgs {
    #[command(flatten)]
    pub run: RunArgs,
    /// Measure only these queries, by number
    #[arg(long, value_delimiter = ',', value_name = "NUMBERS", value_parser = clap::value_parser!(u32).range(1..=22))]
    pub queries: Vec<u32>,
}

/// The format of a report.
#[derive(Clone, Copy, ValueEnum)]
pub enum Format {
    /// A table for the book
    Markdown,
    /// One JSON object
    Json,
}

impl RunArgs {
    /// Generates the data, unless it is in the cache. Returns its folder.
    ///
    /// # Errors
    /// As [`tpch_data`].
    pub async fn data(&self, stop: &CancellationToken) -> Result<PathBuf> {
        tpch_data(&cache_folder()?, self.scale, stop).await
    }
}

/// Returns the path of this program, which starts nodes with it.
///
/// # Errors
/// A system that does not know the path.
pub fn this_program() -> Result<PathBuf> {
    std::env::current_exe().map_err(|e| Error::failed("cannot find the path of this program").with_source(e))
}

/// Runs a measurement until `stop` is cancelled, and prints its table with the load before.
///
/// # Errors
/// The error of the measurement, an interrupt, output that cannot be written.
pub async fn print_measured(
    measured: impl Future<Output = Result<Table>>,
    format: Format,
    stop: &CancellationToken,
) -> Result<()> {
    let load = machine::load().map_or_else(String::new, |load| format!("; load before: {load:.1}"));
    let mut table = tokio::select! {
        table = measured => table?,
        () = stop.cancelled() => return Err(Error::interrupted()),
    };
    table.title.push_str(&load);
    table.print(format)
}
