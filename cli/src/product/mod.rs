//! `portolan product`: works on data products from their descriptors and their data, without a node that runs.

mod test;

use clap::{Args, Subcommand};
use portolan_node::Result;

use self::test::{TestArgs, test};

/// Arguments of `portolan product`.
#[derive(Args, Clone, Debug)]
pub struct ProductArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Test the data of products against their contracts
    Test(TestArgs),
}

/// Runs `portolan product`.
///
/// # Errors
/// As the command that runs.
pub async fn product(args: ProductArgs) -> Result<()> {
    match args.action {
        Action::Test(args) => test(&args).await,
    }
}
