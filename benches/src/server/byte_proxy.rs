//! A proxy that copies the bytes of connections unchanged, in its own process. It shows the cost of one more process
//! between a client and an owner: a gateway cannot be faster.

use clap::Args;
use portolan_cli::output::print;
use portolan_cli::serve::stop_with_stdin;
use portolan_node::{Error, Result};
use serde_json::json;
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The bytes of a read. Smaller reads cost more calls of the system.
const BUFFER_BYTES: usize = 256 << 10;

/// Arguments of the hidden subcommand.
#[derive(Args)]
pub struct ByteProxyArgs {
    /// The host and the port of the server
    #[arg(long)]
    to: String,
}

/// Runs the proxy until standard input ends.
///
/// # Errors
/// A listener that fails.
pub async fn serve(args: &ByteProxyArgs) -> Result<()> {
    let failed = |e| Error::failed("the proxy cannot listen").with_source(e);
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    print(&format!("{}\n", json!({ "address": address.to_string() })))?;
    let stop = CancellationToken::new();
    stop_with_stdin(stop.clone());
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            accepted = listener.accept() => {
                let (near, _) = accepted.map_err(failed)?;
                connections.spawn(copy(near, args.to.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Copies the bytes of a connection. Its ends report errors.
async fn copy(mut near: TcpStream, to: String) {
    let Ok(mut far) = TcpStream::connect(to).await else { return };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let _ = copy_bidirectional_with_sizes(&mut near, &mut far, BUFFER_BYTES, BUFFER_BYTES).await;
}
