//! The node as a service in the config: its log, the listener for operators, and the export of traces and metrics.

use std::net::ToSocketAddrs;
use std::path::PathBuf;

use portolan_connectors::node::is_exposed;
use serde::Deserialize;

use super::check::Check;
use crate::units::Length;

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

/// The export of traces and metrics to an OpenTelemetry collector.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TelemetryConfig {
    /// The URL of the collector: `http://host:port` or `https://host:port`, for OTLP with gRPC.
    pub endpoint: String,
    /// The authorities to trust (PEM). An `https://` URL needs them: those of the system are not used.
    pub ca: Option<PathBuf>,
    /// The time between two exports. Default: 15s.
    pub interval: Option<Length>,
    /// Permits an `http://` URL beyond loopback if true. Default: false.
    #[serde(default)]
    pub allow_plaintext: bool,
}

impl TelemetryConfig {
    /// Reports a collector that cannot be used.
    pub(super) fn check(&self, check: &mut Check<'_>) {
        if cfg!(not(feature = "telemetry")) {
            check.report("/telemetry", "this program was built without the feature `telemetry`");
        }
        match self.endpoint.split_once("://") {
            Some(("http", _)) if self.ca.is_some() => {
                check.report("/telemetry/ca", "expected an `https://` URL in `endpoint`: other URLs do not use `ca`");
            }
            Some(("http", _)) if is_exposed(&self.endpoint) && !self.allow_plaintext => check.report(
                "/telemetry/endpoint",
                "the node would send spans and metrics to another machine without TLS: use an `https://` URL with \
                 `ca`, or set `telemetry.allow_plaintext: true`",
            ),
            Some(("https", _)) if self.ca.is_none() => {
                check.report("/telemetry/endpoint", "an `https://` URL needs `ca`, the authorities to trust");
            }
            Some(("http" | "https", _)) => {}
            _ => check.report(
                "/telemetry/endpoint",
                &format!("expected `http://host:port` or `https://host:port`, got `{}`", self.endpoint),
            ),
        }
        check.file("/telemetry/ca", self.ca.as_deref());
    }
}

impl AdminConfig {
    /// Reports an address that cannot be used.
    pub(super) fn check(&self, check: &mut Check<'_>) {
        let at = "/admin/listen";
        match is_on_loopback(&self.listen) {
            Err(e) => {
                check.report(at, &format!("expected an address and a port to listen on, got `{}`: {e}", self.listen));
            }
            Ok(false) if !self.allow_remote => check.report(
                at,
                "the admin listener has no login: listen on loopback, or set `admin.allow_remote: true` if only \
                 operators can reach the address",
            ),
            Ok(_) => {}
        }
    }
}

/// True if each address that `listen` stands for is on loopback.
///
/// # Errors
/// A text that is no address and port, or a name that cannot be resolved.
pub(super) fn is_on_loopback(listen: &str) -> std::io::Result<bool> {
    Ok(listen.to_socket_addrs()?.all(|address| address.ip().is_loopback()))
}
