//! The users in the config, and the credentials that a server accepts.

use std::collections::{BTreeMap, BTreeSet};

use argon2::PasswordHash;
use portolan_catalog::is_printable;
use portolan_flight_server::{AuthOptions, DelegationOptions, User};
use serde::Deserialize;

use super::check::Check;
use super::{NodeConfig, SecretString, TokenConfig};
use crate::Result;

/// A user who may log in.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserConfig {
    /// The name.
    pub name: String,
    /// The hash of the password, as `portolan hash-password` prints it; absent for a user with a client certificate.
    pub password_hash: Option<SecretString>,
    /// True if the user is a node of the mesh, which may send fragments.
    #[serde(default)]
    pub node: bool,
    /// The groups of the user.
    #[serde(default)]
    pub groups: BTreeSet<String>,
    /// The attributes of the user.
    #[serde(default)]
    pub attributes: BTreeMap<String, Vec<String>>,
    /// True if the user may see and cancel the queries of others.
    #[serde(default)]
    pub admin: bool,
}

impl UserConfig {
    /// Returns the user for the server's options.
    fn user(&self) -> User {
        User {
            name: self.name.clone(),
            password_hash: self.password_hash.as_ref().map(|hash| hash.reveal().into()),
            node: self.node,
            groups: self.groups.clone(),
            attributes: self.attributes.clone(),
            admin: self.admin,
        }
    }
}

impl NodeConfig {
    /// Returns the credentials that the server accepts: those of clients, and those of nodes that act for others.
    ///
    /// # Errors
    /// Keys that cannot be read, and URLs from which the server does not fetch keys.
    pub(crate) fn credentials(&self) -> Result<(AuthOptions, DelegationOptions)> {
        let auth = AuthOptions {
            anonymous: Some(self.allows_anonymous()),
            users: self.users.iter().map(UserConfig::user).collect(),
            issuers: self.tokens.iter().map(TokenConfig::issuer).collect::<Result<_, _>>()?,
        };
        Ok((auth, self.delegation()?))
    }

    pub(super) fn check_users(&self, check: &mut Check<'_>) {
        let mut names = BTreeSet::new();
        for (i, user) in self.users.iter().enumerate() {
            if user.name.is_empty() || (user.password_hash.is_some() && user.name.contains(':')) {
                check.report(&format!("/users/{i}/name"), "expected a name that is not empty and has no colon");
            }
            let groups = user.groups.iter().chain(user.attributes.keys()).chain(user.attributes.values().flatten());
            if !std::iter::once(&user.name).chain(groups).all(|text| is_printable(text)) {
                let message = "has control characters, invisible characters or marks of direction in a name or a value";
                check.report(&format!("/users/{i}"), message);
            }
            if !names.insert(&user.name) {
                check.report(&format!("/users/{i}/name"), &format!("the user `{}` is listed twice", user.name));
            }
            match &user.password_hash {
                Some(hash) if PasswordHash::new(hash.reveal()).is_err() => check.report(
                    &format!("/users/{i}/password_hash"),
                    "is not a password hash: `portolan hash-password` prints one",
                ),
                None if !self.asks_for_certificates() => check.report_missing(
                    &format!("/users/{i}"),
                    "a user needs `password_hash`, unless users authenticate with certificates (`tls.client_ca`)",
                ),
                _ => {}
            }
        }
    }
}
