//! The arguments that name a node and a user, and the password that belongs to them.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::Args;
use portolan_connectors::node::is_exposed;
use portolan_node::client::ConnectOptions;
use portolan_node::{Error, Result};

use crate::connection::{Target, default_url};

/// The arguments of commands that connect to a node.
#[derive(Args, Clone, Debug, Default)]
pub struct LoginArgs {
    /// The URL of the node to query [default: PORTOLAN_URL, or grpc://127.0.0.1:50051]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Log in as this user. The password comes from PORTOLAN_PASSWORD or a prompt
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// For grpc+tls:// URLs: the file with the trusted certificates (PEM)
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Allow the password to be sent to another machine without TLS
    #[arg(long, requires = "user")]
    pub allow_plaintext: bool,
}

impl LoginArgs {
    /// Returns the node to connect to. Prompts for the password if one is needed.
    ///
    /// # Errors
    /// A password that cannot be read, or that would leave this machine without TLS.
    pub fn target(&self) -> Result<Target> {
        self.target_after(self)
    }

    /// As [`LoginArgs::target`], in a process that was started with the login `first`. The variable `PORTOLAN_PASSWORD`
    /// has the password of that login, which goes to no other node.
    ///
    /// # Errors
    /// As [`LoginArgs::target`].
    pub fn target_after(&self, first: &Self) -> Result<Target> {
        let (url, first_url) = (self.address()?, first.address()?);
        let has_variable = url == first_url && (first.user.is_none() || first.user == self.user);
        let credentials = match &self.user {
            None => None,
            Some(user) => {
                if is_exposed(&url) && !self.allow_plaintext {
                    return Err(Error::config(format!(
                        "refusing to send the password of {user} to {url} without TLS: use a `grpc+tls://` URL with \
                         `--ca`, or allow it with `--allow-plaintext`"
                    )));
                }
                let known = std::env::var("PORTOLAN_PASSWORD").ok();
                if known.is_some() && !has_variable && !std::io::stdin().is_terminal() {
                    let of_first = first.user.as_ref().map(|user| format!(" and the user {user}")).unwrap_or_default();
                    return Err(Error::config(format!(
                        "the password in PORTOLAN_PASSWORD is that for {first_url}{of_first}, and there is no terminal to \
                         ask for another one: run `portolan sql --url {url} --user {user}` with its own password"
                    )));
                }
                let password = match known.filter(|_| has_variable) {
                    Some(password) => password,
                    None => crate::password::ask(&format!("password of {user} at {url}: "))?,
                };
                Some((user.clone(), password))
            }
        };
        Ok(Target::Url { url, options: ConnectOptions { credentials, ca: self.ca.clone() } })
    }

    fn address(&self) -> Result<String> {
        self.url.clone().map_or_else(default_url, Ok)
    }
}
