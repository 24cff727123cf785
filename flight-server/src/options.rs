//! The options of a server: address, TLS, authentication, delegation, limits.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use portolan_connectors::node::{NodeKey, PublicKey};
use portolan_engine::Principal;

/// The options of a server.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// The address to listen on: `host:port`. Port 0 selects a free port.
    pub listen: String,
    /// TLS. Default: none.
    pub tls: Option<ServerTls>,
    /// True if the server may listen on an address off loopback without TLS. Default: false.
    pub allow_plaintext: bool,
    /// The users and issuers that may log in.
    pub auth: AuthOptions,
    /// The nodes that may send fragments for other principals.
    pub delegation: DelegationOptions,
    /// True if the node owns a domain, whose catalog it signs for its own URLs. Default: false.
    pub owns_domain: bool,
    /// The key that signs the catalog, so that other nodes know the owner of its domains again. Default: a new key,
    /// which is gone when the server ends.
    pub key: Option<Arc<NodeKey>>,
    /// The limits.
    pub limits: ServerLimits,
}

/// The nodes that may send fragments for other principals.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DelegationOptions {
    /// The trusted nodes. If there are none, the server accepts unsigned fragments and runs them as their sender.
    pub trusted: Vec<TrustedNode>,
    /// The names of this node in tokens that others sign for it. Empty: the URLs of the address that it listens on.
    pub audiences: Vec<String>,
}

/// True if a node that listens at this address needs [`DelegationOptions::audiences`]: others sign for its URLs, or it
/// signs its catalog for them, and the address does not say what they are.
pub fn needs_audiences(address: IpAddr, trusts_nodes: bool, owns_domain: bool) -> bool {
    address.is_unspecified() && (trusts_nodes || owns_domain)
}

/// A node that may send fragments for other principals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedNode {
    /// The name of the node.
    pub name: String,
    /// The key that verifies the node's signatures. While a key is being replaced, the node is listed twice.
    pub key: PublicKey,
    /// The principals that the node may act for. [`Allowed::All`] includes no node. A list can include the node's own
    /// principal, `node:` and its name: the node may then send requests of its own.
    pub may_act_for: Allowed,
    /// The groups that the node may claim for them. It may claim attributes only if all groups are allowed.
    pub groups: Allowed,
}

/// A set of allowed names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// All names.
    All,
    /// These names.
    Only(BTreeSet<String>),
}

impl Allowed {
    pub(crate) fn allows(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(name),
        }
    }

    /// True if `name` is in a list. The name of a node must be in one to be allowed.
    pub(crate) fn lists(&self, name: &str) -> bool {
        matches!(self, Self::Only(names) if names.contains(name))
    }
}

/// The TLS files of a listener in PEM. The server reads them again when they change.
#[derive(Clone, Debug)]
pub struct ServerTls {
    /// The certificate, with the chain up to its authority.
    pub cert: PathBuf,
    /// The certificate's key.
    pub key: PathBuf,
    /// The accepted client certificates. `None`: the server requests no certificate.
    pub clients: Option<ClientCertificates>,
}

/// The client certificates that are accepted. A certificate authenticates the principal whose name it contains.
#[derive(Clone, Debug)]
pub struct ClientCertificates {
    /// A PEM file with the authorities that sign the certificates.
    pub ca: PathBuf,
    /// True if clients without a certificate may connect too, and log in another way.
    pub optional: bool,
}

/// The accepted credentials.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthOptions {
    /// True if anonymous callers are accepted. `None`: only on loopback, and only if no other way to authenticate is
    /// configured.
    pub anonymous: Option<bool>,
    /// The users.
    pub users: Vec<User>,
    /// The identity providers whose tokens are accepted.
    pub issuers: Vec<TokenIssuer>,
}

/// An identity provider whose tokens (JWT) are accepted, both instead of a login and as passwords.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenIssuer {
    /// The issuer's name, which is `iss` in its tokens.
    pub issuer: String,
    /// The names of this node. `aud` of a token must contain at least one of them.
    pub audience: BTreeSet<String>,
    /// The location of the issuer's public keys.
    pub keys: KeySource,
    /// The interval at which the server reads the keys again. Default: 5 minutes.
    pub keys_interval: Duration,
    /// The claim with the principal's name. Default: `sub`.
    pub principal_claim: String,
    /// The claim with the principal's groups. Default: `groups`.
    pub groups_claim: String,
    /// The claims that become the principal's attributes. Default: none.
    pub attributes: BTreeSet<String>,
    /// The largest accepted difference between clocks. Default: 60 seconds.
    pub skew: Duration,
    /// The principals and groups that may see and stop other principals' statements. Default: none.
    pub admins: BTreeSet<String>,
}

/// The location of an issuer's public keys (JWKS).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A file, which the server reads again when it changes.
    File(PathBuf),
    /// A URL, from [`KeySource::url`].
    Url(String),
}

impl TokenIssuer {
    /// Creates an issuer with default values for the other fields.
    pub fn new(
        issuer: impl Into<String>,
        audience: impl IntoIterator<Item = impl Into<String>>,
        keys: KeySource,
    ) -> Self {
        Self {
            issuer: issuer.into(),
            audience: audience.into_iter().map(Into::into).collect(),
            keys,
            keys_interval: Duration::from_secs(300),
            principal_claim: "sub".to_owned(),
            groups_claim: "groups".to_owned(),
            attributes: BTreeSet::new(),
            skew: Duration::from_secs(60),
            admins: BTreeSet::new(),
        }
    }
}

/// A user who is known by name. `Debug` does not show the password's hash.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct User {
    /// The name. It contains no colon if the user has a password.
    pub name: String,
    /// The password's argon2 hash, in PHC format (`$argon2id$…`). `None`: the user authenticates with a client
    /// certificate only.
    pub password_hash: Option<String>,
    /// True if the user is another node, which may send fragments.
    pub node: bool,
    /// The user's groups.
    pub groups: BTreeSet<String>,
    /// The user's attributes.
    pub attributes: BTreeMap<String, Vec<String>>,
    /// True if the user may see and stop other principals' statements.
    pub admin: bool,
}

impl User {
    /// Returns the user as a principal.
    pub(crate) fn principal(&self) -> Principal {
        let principal = Principal::new(&self.name).with_groups(&self.groups).with_admin(self.admin);
        self.attributes.iter().fold(principal, |p, (name, values)| p.with_attribute(name, values))
    }
}

/// The limits of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// The largest size of a request message, in bytes. Default: 16 MiB.
    pub request_bytes: usize,
    /// The time that running streams have to finish when the server stops. Default: 10 seconds.
    pub grace: Duration,
    /// The largest number of sessions. Default: 4096.
    pub sessions: usize,
    /// The largest number of sessions of one principal. A new session replaces the one that was idle for longest.
    /// Default: 512.
    pub sessions_per_principal: usize,
    /// The time after which an idle session, and its token, are dropped. Default: 1 hour.
    pub session_idle: Duration,
    /// The largest number of one principal's statements, prepared ones included. Default: 1024.
    pub statements_per_principal: usize,
    /// The largest number of statements. Default: 16384.
    pub statements: usize,
    /// The time after its last use for which a statement is kept. Default: 15 minutes.
    pub statement_idle: Duration,
    /// The number of passwords that are checked at once. Default: 2.
    pub password_checks: usize,
    /// The largest number of connections. Default: 4096.
    pub connections: usize,
    /// The largest number of connections from one address. `None`: three quarters of all connections.
    pub connections_per_address: Option<usize>,
    /// The time after which a connection is closed on which nobody is authenticated. Default: 30 seconds.
    pub login_timeout: Duration,
}

impl ServerOptions {
    /// Creates the options of a server at `listen`, with default values for the other fields.
    pub fn new(listen: impl Into<String>) -> Self {
        Self {
            listen: listen.into(),
            tls: None,
            allow_plaintext: false,
            auth: AuthOptions::default(),
            delegation: DelegationOptions::default(),
            owns_domain: false,
            key: None,
            limits: ServerLimits::default(),
        }
    }
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            request_bytes: 16 << 20,
            grace: Duration::from_secs(10),
            sessions: 4096,
            sessions_per_principal: 512,
            session_idle: Duration::from_secs(3600),
            statements_per_principal: 1024,
            statements: 16384,
            statement_idle: Duration::from_secs(900),
            password_checks: 2,
            connections: 4096,
            connections_per_address: None,
            login_timeout: Duration::from_secs(30),
        }
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("name", &self.name).field("node", &self.node).finish_non_exhaustive()
    }
}
