//! The listener: connections, TLS, and aborted or oversized requests, which the codec reports wrongly.

mod aborted_uploads;
mod connections;
mod incoming;
mod request_size;
mod tls;

pub(crate) use aborted_uploads::{AbortFlag, WithAbortFlag};
pub use connections::Connections;
pub(crate) use connections::{ConnectionInfo, network, note_request};
pub(crate) use incoming::{encrypted, plain};
pub(crate) use request_size::{Bounded, is_undecodable, too_large, undecodable};
pub(crate) use tls::Tls;
