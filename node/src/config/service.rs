//! The node as a service in the config: its log, and the listener for operators.

use std::net::ToSocketAddrs;

use serde::Deserialize;

use super::check::Check;

/// The format of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text for people.
    #[default]
    Text,
    /// One JSON object for each line.
    Json,
}

/// The listener for operators, which serves metrics and health over HTTP without a login.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdminConfig {
    /// The address to listen on. Port 0 selects a free port.
    pub listen: String,
    /// Permits listening beyond loopback if true. Default: false.
    #[serde(default)]
    pub allow_remote: bool,
}

impl AdminConfig {
    /// Reports an address that cannot be used.
    pub(super) fn check(&self, check: &mut Check<'_>) {
        match self.listen.to_socket_addrs() {
            Err(e) => check.report(
                "/admin/listen",
                &format!("expected an address and a port to listen on, got `{}`: {e}", self.listen),
            ),
            Ok(mut addresses) if !self.allow_remote && !addresses.all(|address| address.ip().is_loopback()) => check
                .report(
                    "/admin/listen",
                    "the admin listener has no login: listen on loopback, or set `admin.allow_remote: true` if only \
                     operators can reach the address",
                ),
            Ok(_) => {}
        }
    }
}
