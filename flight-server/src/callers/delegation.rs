//! Delegation: the principal for whom a fragment runs. A node accepts a principal only if the sender has signed it. A
//! node without trusted nodes accepts unsigned fragments and runs them as their sender.

mod used_tokens;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use portolan_connectors::node::protocol::FragmentTicket;
use portolan_connectors::node::token::{
    Claims, IDENTITY_TYPE, IdentityClaims, LOGIN_TYPE, MAX_LIFE, UncheckedToken, fragment_digest, is_node_name, now,
};
use portolan_engine::server::CatalogReader;
use portolan_engine::{Error, ErrorKind, Principal, Result};
use serde::de::DeserializeOwned;

use self::used_tokens::UsedTokens;
use super::identity::{Identity, NODE, is_sound_name, is_sound_value};
use crate::failure::{invalid, unauthenticated};
use crate::options::{Allowed, DelegationOptions, TrustedNode};

/// The largest difference between the clocks of two nodes, in seconds.
const SKEW: u64 = 30;

/// The nodes that this node trusts, and the URLs of this node.
pub(crate) struct Delegations {
    /// The entries of each node: several while one key replaces another.
    trusted: HashMap<String, Vec<TrustedNode>>,
    /// The used tokens of these nodes, and of those that were trusted before.
    used: HashMap<String, Arc<UsedTokens>>,
    audiences: Vec<String>,
}

/// The principal of a fragment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Asker {
    pub(crate) principal: Principal,
    /// The purpose that the principal's session declares; `None` without a signature.
    pub(crate) declared_purpose: Option<String>,
    /// The known nodes on the query's path, the first one first.
    pub(crate) via: Vec<String>,
    /// The public keys of the trusted ones among them, by their names.
    pub(crate) node_keys: BTreeMap<String, Vec<String>>,
}

/// The purpose of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The sender wants an estimate. The token stays valid.
    Estimate,
    /// The fragment runs. The token is valid once.
    Run,
}

impl Delegations {
    /// Creates the checks. `here` has the URLs of this node, for use if the options name none.
    pub(crate) fn new(options: &DelegationOptions, here: Vec<String>) -> Result<Self> {
        let mut trusted: HashMap<String, Vec<TrustedNode>> = HashMap::new();
        for node in &options.trusted {
            if !is_node_name(&node.name) {
                return Err(invalid(format!("a trusted node cannot be named `{}`", node.name.escape_debug())));
            }
            trusted.entry(node.name.clone()).or_default().push(node.clone());
        }
        let used = trusted.keys().map(|name| (name.clone(), Arc::default())).collect();
        let audiences = if options.audiences.is_empty() { here } else { options.audiences.clone() };
        Ok(Self { trusted, used, audiences: audiences.iter().map(|url| plain(url)).collect() })
    }

    /// Returns the checks, with the used tokens that earlier ones have recorded.
    pub(super) fn after(mut self, before: &Self) -> Self {
        self.used.extend(before.used.iter().map(|(name, used)| (name.clone(), used.clone())));
        self
    }

    /// Returns the URLs of this node.
    pub(crate) fn audiences(&self) -> &[String] {
        &self.audiences
    }

    /// Returns the principal of the fragment in a ticket that came from `caller`.
    pub(crate) fn asker(&self, caller: &Identity, ticket: &FragmentTicket, purpose: Purpose) -> Result<Asker> {
        self.asker_at(caller, ticket, purpose, now()?)
    }

    fn asker_at(&self, caller: &Identity, ticket: &FragmentTicket, purpose: Purpose, now: u64) -> Result<Asker> {
        let sender = caller.principal.name();
        if !caller.node {
            return Err(denied(format!("`{sender}` may not send fragments: it is not a user with `node: true`")));
        }
        if self.trusted.is_empty() {
            let principal = caller.principal.clone().with_admin(false);
            let via = sent_by(sender, ticket.hops);
            return Ok(Asker { principal, declared_purpose: None, via, node_keys: BTreeMap::new() });
        }
        let Some(token) = &ticket.identity else {
            return Err(denied(format!(
                "the fragment that `{sender}` sent has no signed principal, and this node requires one: give the \
                 sender a key (`node` in its config; `portolan node-key` creates one), and put the public key into \
                 `trusted_nodes` of this node"
            )));
        };
        let (node, claims): (_, IdentityClaims) = self.believed(token, IDENTITY_TYPE, now)?;
        let Claims { iss, exp, jti, .. } = &claims.registered;
        if sender.strip_prefix(NODE).is_some_and(|name| name != iss) {
            return Err(denied(format!("`{sender}` sent a fragment that node `{iss}` signed")));
        }
        let via = belongs(&claims, ticket)?;
        let principal = acted_for(node, &claims)?;
        // This check comes last, so that refused tokens are not recorded.
        if purpose == Purpose::Run {
            self.first_use(iss, jti, exp + SKEW, now)?;
        }
        let node_keys = self.keys_of(&via);
        Ok(Asker { principal, declared_purpose: claims.purpose, via, node_keys })
    }

    /// Returns the public keys of the trusted nodes among these.
    fn keys_of(&self, names: &[String]) -> BTreeMap<String, Vec<String>> {
        let trusted = names.iter().filter_map(|name| Some((name, self.trusted.get(name)?)));
        let keys = |nodes: &[TrustedNode]| nodes.iter().map(|node| node.key.to_string()).collect();
        trusted.map(|(name, nodes)| (name.clone(), keys(nodes))).collect()
    }

    /// Returns the identity of a node that logs in with a token of its own; `None` if the token is of another kind. A
    /// node that trusts no node cannot check the token, and returns the identity from `nobody`.
    pub(crate) fn log_in(&self, token: &str, nobody: impl FnOnce() -> Result<Identity>) -> Option<Result<Identity>> {
        UncheckedToken::read(token).filter(|token| token.kind() == LOGIN_TYPE)?;
        if self.trusted.is_empty() {
            return Some(nobody());
        }
        Some(now().and_then(|now| self.log_in_at(token, now)))
    }

    fn log_in_at(&self, token: &str, now: u64) -> Result<Identity> {
        let name = self.vouched(token, now).and_then(|claims| {
            self.first_use(&claims.iss, &claims.jti, claims.exp + SKEW, now)?;
            Ok(claims.iss)
        });
        // For a login, an unknown node is an unauthenticated caller.
        let name = name.map_err(|e| match e.kind() {
            ErrorKind::PermissionDenied => unauthenticated(e.context()),
            _ => e,
        })?;
        Ok(Identity { principal: Principal::new(format!("{NODE}{name}")), node: true, expires: None })
    }

    /// True if this node would accept fragments from the caller. `proof` is as in [`Delegations::trusts`].
    pub(crate) fn takes_fragments(&self, caller: &Identity, proof: Option<&str>) -> bool {
        (caller.node && self.trusted.is_empty()) || self.trusts(caller, proof)
    }

    /// Returns what a caller that requests the catalog may see. `proof` is as in [`Delegations::trusts`].
    pub(crate) fn reader(&self, caller: &Identity, proof: Option<&str>) -> CatalogReader {
        match self.takes_fragments(caller, proof) {
            false => CatalogReader::Other,
            // A node that trusts no node cannot know that the caller is one.
            true if self.trusted.is_empty() => CatalogReader::Node,
            true => CatalogReader::TrustedNode,
        }
    }

    /// True if the caller is a trusted node. `proof` is a login token of the node, which may have logged in as a user.
    pub(crate) fn trusts(&self, caller: &Identity, proof: Option<&str>) -> bool {
        let own = caller.principal.name().strip_prefix(NODE);
        let claims = proof.and_then(|token| now().and_then(|now| self.vouched(token, now)).ok());
        caller.node && claims.is_some_and(|claims| own.is_none_or(|own| own == claims.iss))
    }

    /// Checks that the caller may send requests of its own, such as statements. A node that logged in with its key acts
    /// for the principals that its entry lists, and so for itself only if the entry lists the node's own principal.
    pub(crate) fn check_own_requests(&self, caller: &Identity) -> Result<()> {
        let principal = caller.principal.name();
        let Some(name) = principal.strip_prefix(NODE) else { return Ok(()) };
        let keys = self.trusted.get(name).map_or(&[][..], Vec::as_slice);
        // While one key replaces another, a node has two entries, and may do only what both allow.
        if !keys.is_empty() && keys.iter().all(|node| node.may_act_for.lists(principal)) {
            return Ok(());
        }
        Err(denied(format!(
            "node `{name}` may send fragments and fetch catalogs, but no requests of its own: list `{principal}` in its \
             `may_act_for` (`trusted_nodes` of this node), or let it log in as a user"
        )))
    }

    /// Verifies a login token, and returns its claims.
    fn vouched(&self, token: &str, now: u64) -> Result<Claims> {
        let (_, claims): (_, Claims) = self.believed(token, LOGIN_TYPE, now)?;
        if claims.sub != claims.iss {
            return Err(denied(format!("node `{}` cannot log in as another principal", claims.iss)));
        }
        Ok(claims)
    }

    /// Verifies a token that a trusted node signed for this node, and returns its claims if they are still valid.
    fn believed<T: DeserializeOwned + Signed>(&self, token: &str, kind: &str, now: u64) -> Result<(&TrustedNode, T)> {
        let token = UncheckedToken::read(token)
            .filter(|token| is_node_name(token.issuer()))
            .ok_or_else(|| denied("the identity is not a node's token"))?;
        let name = token.issuer();
        let trusted = self.trusted.get(name).ok_or_else(|| {
            denied(format!("node `{name}` is not trusted here: put its public key into `trusted_nodes` of this node"))
        })?;
        let signed = trusted.iter().find_map(|node| Some((node, token.claims::<T>(kind, &node.key)?)));
        let (node, claims) = signed.ok_or_else(|| {
            denied(format!("the token of node `{name}` is not signed with its key in `trusted_nodes`"))
        })?;
        in_time(claims.registered(), now)?;
        self.meant_for_here(claims.registered())?;
        Ok((node, claims))
    }

    fn meant_for_here(&self, claims: &Claims) -> Result<()> {
        if self.audiences.contains(&plain(&claims.aud)) {
            return Ok(());
        }
        let shown: String = claims.aud.escape_debug().take(200).collect();
        let mut here: Vec<_> = self.audiences.iter().map(|here| format!("`{here}`")).collect();
        // The address in the config and the one that the system has assigned may be the same.
        here.dedup();
        Err(denied(format!(
            "the token of node `{}` is meant for `{shown}`, but this node is {}: set `audience` of the peer at the \
             sender, or `node.audiences` at this node",
            claims.iss,
            here.join(" or "),
        )))
    }

    fn first_use(&self, issuer: &str, jti: &str, until: u64, now: u64) -> Result<()> {
        let used = self.used.get(issuer);
        used.map_or(Ok(()), |used| used.first_use(issuer, jti, until, now))
    }
}

/// Claims of a signed token that include the registered ones.
trait Signed {
    fn registered(&self) -> &Claims;
}

impl Signed for Claims {
    fn registered(&self) -> &Claims {
        self
    }
}

impl Signed for IdentityClaims {
    fn registered(&self) -> &Claims {
        &self.registered
    }
}

fn in_time(claims: &Claims, now: u64) -> Result<()> {
    let Claims { iss, iat, exp, .. } = claims;
    match exp.checked_sub(*iat) {
        None => return Err(denied(format!("the token of node `{iss}` expires before it becomes valid"))),
        Some(life) if life > MAX_LIFE => {
            return Err(denied(format!(
                "the token of node `{iss}` must be valid for at most {MAX_LIFE} s, got {life}"
            )));
        }
        Some(_) => {}
    }
    if now > exp.saturating_add(SKEW) {
        return Err(denied(format!(
            "the token of node `{iss}` expired {} s ago: check the clocks of both nodes",
            now - exp
        )));
    }
    if *iat > now + SKEW {
        return Err(denied(format!(
            "the token of node `{iss}` is not valid until {} s from now: check the clocks of both nodes",
            iat - now
        )));
    }
    Ok(())
}

/// Checks that the token was made for the fragment that it came with. Returns the nodes on the path of the fragment.
fn belongs(claims: &IdentityClaims, ticket: &FragmentTicket) -> Result<Vec<String>> {
    let iss = &claims.registered.iss;
    if claims.query_id != ticket.query_id
        || claims.hops != ticket.hops
        || claims.fragment != fragment_digest(&ticket.plan, &ticket.keys)
    {
        return Err(denied(format!("the token of node `{iss}` belongs to another fragment")));
    }
    let chain = claims.chain();
    if chain.len() > ticket.hops as usize {
        return Err(denied(format!(
            "node `{iss}` names {} nodes on the path of the query, but counts {}",
            chain.len(),
            ticket.hops
        )));
    }
    if chain.iter().any(|name| !is_sound_name(name)) {
        return Err(denied(format!("node `{iss}` names invalid nodes on the path of the query")));
    }
    Ok(chain)
}

/// Returns the principal that a token claims, if the signer may act for it.
fn acted_for(node: &TrustedNode, claims: &IdentityClaims) -> Result<Principal> {
    let (name, principal) = (&node.name, &claims.registered.sub);
    let names = std::iter::once(principal).chain(&claims.groups).chain(claims.attributes.keys());
    let values = claims.attributes.values().flatten().chain(&claims.purpose);
    if !names.into_iter().all(|name| is_sound_name(name)) || !values.into_iter().all(|value| is_sound_value(value)) {
        return Err(denied(format!(
            "node `{name}` sent an invalid principal: a name or value is empty, too long, or has control characters, \
             invisible characters or marks of direction"
        )));
    }
    if principal.starts_with(NODE) || !node.may_act_for.allows(principal) {
        return Err(denied(format!(
            "node `{name}` may not act for `{principal}` (`may_act_for` in `trusted_nodes` of this node)"
        )));
    }
    if let Some(group) = claims.groups.iter().find(|group| !node.groups.allows(group)) {
        return Err(denied(format!(
            "node `{name}` may not claim that `{principal}` is in the group `{group}` (`groups` in `trusted_nodes` of \
             this node)"
        )));
    }
    if node.groups != Allowed::All && !claims.attributes.is_empty() {
        return Err(denied(format!(
            "node `{name}` may not claim attributes of `{principal}` (`groups` in `trusted_nodes` of this node)"
        )));
    }
    let principal = Principal::new(principal).with_groups(&claims.groups);
    Ok(claims.attributes.iter().fold(principal, |p, (name, values)| p.with_attribute(name, values)))
}

/// Returns the sender of an unsigned fragment.
fn sent_by(sender: &str, hops: u32) -> Vec<String> {
    let name = sender.strip_prefix(NODE).unwrap_or(sender);
    if hops == 0 { vec![] } else { vec![name.to_owned()] }
}

/// Returns a URL in the form that is compared: both schemes without TLS mean the same.
fn plain(url: &str) -> String {
    url.trim_end_matches('/').replacen("grpc+tcp://", "grpc://", 1)
}

fn denied(context: impl Into<String>) -> Error {
    Error::new(ErrorKind::PermissionDenied, context)
}

impl fmt::Debug for Delegations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names: Vec<_> = self.trusted.keys().collect();
        names.sort();
        f.debug_struct("Delegations").field("trusted", &names).field("audiences", &self.audiences).finish()
    }
}

#[cfg(test)]
mod tests;
