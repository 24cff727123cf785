//! The listener below Flight: connections and their TLS, and what the codec leaves out about a request.

mod tls;

pub(crate) use tls::Tls;
