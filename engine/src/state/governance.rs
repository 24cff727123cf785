//! What an engine keeps to decide what principals may see.

use std::collections::BTreeSet;
use std::sync::Arc;

use portolan_catalog::PortRef;
use portolan_connectors::FragmentHead;
use portolan_governance::{Caller, DecisionCache};
use ring::hmac;

use super::Visibility;
use crate::masks::Salt;
use crate::{Error, ErrorKind, Principal, Result};

/// The largest number of decisions that are kept.
const DECISIONS: usize = 10_000;
/// The number of bytes of a digest of join keys.
const KEY_DIGEST: usize = 8;
/// The number of bytes of the version of a catalog without hidden ports.
const VERSION_DIGEST: usize = 16;

/// The decisions of an engine, and its secret for the hashes of single queries.
#[derive(Debug)]
pub(crate) struct Governance {
    pub(crate) decisions: Arc<DecisionCache>,
    /// True if no condition of a statement goes below a barrier, so that the source reads the same for each statement.
    pub(crate) strict: bool,
    pub(crate) visibility: Visibility,
    secret: hmac::Key,
}

impl Governance {
    /// Returns an empty cache, and a new secret.
    ///
    /// # Errors
    /// `Internal` if the system has no random numbers.
    pub(crate) fn new(strict: bool) -> Result<Self> {
        let no_secret = |e| Error::new(ErrorKind::Internal, "the system has no random numbers").with_source(e);
        let secret = Salt::random().map_err(no_secret)?;
        Ok(Self {
            decisions: Arc::new(DecisionCache::new(DECISIONS)),
            strict,
            visibility: Visibility::default(),
            secret: hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()),
        })
    }

    /// Returns a digest of join keys for audit records. Equal keys have the same digest until the engine ends. Without the
    /// engine's secret, a digest of few keys would reveal them to a reader who tries out values.
    pub(crate) fn key_digest(&self, packed: &[u8]) -> String {
        self.digest("join keys:", packed, KEY_DIGEST)
    }

    /// Returns the version of a catalog for a caller who may not see these ports. `version` is that of the whole catalog: it
    /// has names, too. Without the engine's secret, a digest would reveal them to a caller who tries out names.
    pub(crate) fn version_without(&self, hidden: &BTreeSet<PortRef>, version: &str) -> String {
        let names: Vec<String> = hidden.iter().map(ToString::to_string).collect();
        let content = format!("{}\n\n{version}", names.join("\n"));
        self.digest("hidden ports:", content.as_bytes(), VERSION_DIGEST)
    }

    /// Returns the first bytes of a digest that others see. `purpose` has a space, unlike every id of a query: the sender of
    /// a fragment chooses its id, and must not learn [its salt](Self::salt) from a digest.
    fn digest(&self, purpose: &str, content: &[u8], bytes: usize) -> String {
        let mut context = hmac::Context::with_key(&self.secret);
        context.update(purpose.as_bytes());
        context.update(content);
        context.sign().as_ref().iter().take(bytes).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Returns the salt of a query: the same for all of its fragments at this node, and another at each other node.
    pub(crate) fn salt(&self, query_id: &str) -> Salt {
        let mut salt = [0; Salt::LENGTH];
        salt.copy_from_slice(hmac::sign(&self.secret, query_id.as_bytes()).as_ref());
        Salt::new(salt)
    }
}

/// Returns the principal of a query as policies see it.
pub(crate) fn caller_of(head: &FragmentHead) -> Caller {
    caller_here(&head.principal, head.purpose.clone()).with_via(head.via.iter().cloned())
}

/// Returns a principal whose query begins at this node as policies see it.
pub(crate) fn caller_here(principal: &Principal, purpose: Option<String>) -> Caller {
    Caller {
        name: principal.name().to_owned(),
        groups: principal.groups().clone(),
        attributes: principal.attributes().clone(),
        purpose,
        ..Caller::default()
    }
}
