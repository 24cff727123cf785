//! `portolan product`: drafts and tests data products from their descriptors and their data, without a node that runs.

pub mod database;
pub mod init;
pub mod next_steps;
mod test;

use std::time::Duration;

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use portolan_node::Result;

use self::init::{ProductInitArgs, product_init};
use self::test::{TestArgs, test};

/// The config of a node in the current folder.
pub const CONFIG: &str = "node.yaml";
/// The folder with the descriptors of a domain, if nothing names another one.
pub const PRODUCTS: &str = "products";

/// Arguments of `portolan product`.
#[derive(Args, Clone, Debug)]
pub struct ProductArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Draft a product and its contracts from files, or from the tables of a database, with types, keys and references
    Init(ProductInitArgs),
    /// Test the data of products against their contracts
    Test(TestArgs),
}

/// Runs `portolan product`.
///
/// # Errors
/// As the command that runs.
pub async fn product(args: ProductArgs) -> Result<()> {
    match args.action {
        Action::Init(args) => product_init(args).await,
        Action::Test(args) => test(&args).await,
    }
}

/// Returns a line on the terminal that shows the progress of a command.
fn progress_bar() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}
