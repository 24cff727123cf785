//! The options of a server: address, TLS, authentication, delegation, limits.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use portolan_connectors::node::PublicKey;
use portolan_engine::Principal;

/// What a server is told.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Where to listen: `host:port`. Port 0 takes a free one.
    pub listen: String,
    /// TLS. Default: none.
    pub tls: Option<ServerTls>,
    /// Whether a listener off loopback may go without TLS. Default: no.
    pub allow_plaintext: bool,
    /// Whom to let in.
    pub auth: AuthOptions,
    /// Which nodes it believes when they say who asks.
    pub delegation: DelegationOptions,
    /// What bounds it.
    pub limits: ServerLimits,
}

/// Which nodes are believed when they say on whose behalf they ask.
#[derive(Clone, Debug, Default)]
pub struct DelegationOptions {
    /// These nodes. None: fragments are taken unsigned, and run as whoever sent them.
    pub trusted: Vec<TrustedNode>,
    /// How this node is called in what others sign for it. Empty: by the URLs of the address that it listens on.
    pub audiences: Vec<String>,
}

/// A node that is believed when it says on whose behalf it asks.
#[derive(Clone, Debug)]
pub struct TrustedNode {
    /// Its name.
    pub name: String,
    /// What it signs with. A node whose key is being replaced is named twice.
    pub key: PublicKey,
    /// The principals that it may act for.
    pub may_act_for: Allowed,
    /// The groups that it may say they are in; anything else of them only where all groups are allowed.
    pub groups: Allowed,
}

/// Which names are allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// All.
    All,
    /// These.
    Only(BTreeSet<String>),
}

impl Allowed {
    pub(crate) fn allows(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(name),
        }
    }
}

/// The TLS side of a listener: files in PEM, which are read anew when they change.
#[derive(Clone, Debug)]
pub struct ServerTls {
    /// The certificate, with the chain up to its authority.
    pub cert: PathBuf,
    /// The certificate's key.
    pub key: PathBuf,
    /// Whose client certificates are taken. `None`: no certificate is asked for.
    pub clients: Option<ClientCertificates>,
}

/// Whose client certificates are taken. Whoever shows one is let in under the name in it.
#[derive(Clone, Debug)]
pub struct ClientCertificates {
    /// The authorities that sign them: a file in PEM.
    pub ca: PathBuf,
    /// Whether those without one may connect too, to log in otherwise.
    pub optional: bool,
}

/// Whom to let in.
#[derive(Clone, Debug, Default)]
pub struct AuthOptions {
    /// Whether callers may come without a name. `None`: on loopback, if there is no other way to
    /// say who one is.
    pub anonymous: Option<bool>,
    /// The users.
    pub users: Vec<User>,
    /// Whose tokens are taken.
    pub issuers: Vec<TokenIssuer>,
}

/// An identity provider whose tokens (JWT) are taken: in place of a login, and as passwords.
#[derive(Clone, Debug)]
pub struct TokenIssuer {
    /// Its name: what tokens have as `iss`.
    pub issuer: String,
    /// Names of this node: a token has one of them at least in `aud`.
    pub audience: BTreeSet<String>,
    /// Where its public keys are.
    pub keys: KeySource,
    /// How often they are read anew. Default: 5 minutes.
    pub keys_interval: Duration,
    /// The claim with the principal's name. Default: `sub`.
    pub principal_claim: String,
    /// The claim with the principal's groups. Default: `groups`.
    pub groups_claim: String,
    /// The claims that become the principal's attributes. Default: none.
    pub attributes: BTreeSet<String>,
    /// How far clocks may differ. Default: 60 seconds.
    pub skew: Duration,
    /// Principals, and groups of principals, that may see and stop what others run. Default: none.
    pub admins: BTreeSet<String>,
}

/// Where an issuer's public keys (JWKS) are.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// In a file, which is read anew when it changed.
    File(PathBuf),
    /// Behind a URL, from [`KeySource::url`].
    Url(String),
}

impl TokenIssuer {
    /// An issuer, with the defaults otherwise.
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

/// Somebody who is known by name. Its `Debug` form does not show the password's hash.
#[derive(Clone, Default)]
pub struct User {
    /// The name; without a colon where there is a password.
    pub name: String,
    /// The password's argon2 hash, in PHC form (`$argon2id$…`). `None`: known by its client certificate only.
    pub password_hash: Option<String>,
    /// Whether it is another node, which may send fragments.
    pub node: bool,
    /// The groups that it is in.
    pub groups: BTreeSet<String>,
    /// What else is known of it.
    pub attributes: BTreeMap<String, Vec<String>>,
    /// Whether it may see and stop what others run.
    pub admin: bool,
}

impl User {
    /// The user as a principal.
    pub(crate) fn principal(&self) -> Principal {
        let principal = Principal::new(&self.name).with_groups(&self.groups).with_admin(self.admin);
        self.attributes.iter().fold(principal, |p, (name, values)| p.with_attribute(name, values))
    }
}

/// What bounds a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// Bytes of a request's message. Default: 16 MiB.
    pub request_bytes: usize,
    /// How long running streams may go on once the server is told to stop. Default: 10 seconds.
    pub grace: Duration,
    /// Sessions in all. Default: 4096.
    pub sessions: usize,
    /// Sessions of one principal: the one that was idle for longest makes way for a new one. Default: 512.
    pub sessions_per_principal: usize,
    /// How long a session may be idle before it, and its token, are forgotten. Default: 1 hour.
    pub session_idle: Duration,
    /// Statements, prepared ones included, that are kept for one principal. Default: 1024.
    pub statements_per_principal: usize,
    /// Statements that are kept in all. Default: 16384.
    pub statements: usize,
    /// How long a statement is kept after it was last used. Default: 15 minutes.
    pub statement_idle: Duration,
    /// How many passwords are checked at once. Default: 2.
    pub password_checks: usize,
}

impl ServerOptions {
    /// A server at `listen`, with the defaults otherwise.
    pub fn new(listen: impl Into<String>) -> Self {
        Self {
            listen: listen.into(),
            tls: None,
            allow_plaintext: false,
            auth: AuthOptions::default(),
            delegation: DelegationOptions::default(),
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
        }
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("name", &self.name).field("node", &self.node).finish_non_exhaustive()
    }
}
