//! `portolan product`: creates data products.

pub mod init;
pub mod next_steps;

use clap::{Args, Subcommand};
use portolan_node::Result;

use self::init::{ProductInitArgs, product_init};

/// Arguments of `portolan product`.
#[derive(Args, Clone, Debug)]
pub struct ProductArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Draft a product and its contracts from files, with types, keys and references that hold in the data
    Init(ProductInitArgs),
}

/// Runs `portolan product`.
///
/// # Errors
/// The errors of its commands.
pub async fn product(args: ProductArgs) -> Result<()> {
    match args.action {
        Action::Init(args) => product_init(args).await,
    }
}
