//! Principals: the identities on whose behalf queries run.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

/// The name of principals that are not authenticated.
const ANONYMOUS: &str = "anonymous";

/// The identity on whose behalf a query runs: a name, groups and attributes. The name alone decides what a principal
/// owns, because groups and attributes may change from login to login.
///
/// An anonymous principal may also have the network address of its client, which distinguishes one visitor from another.
/// The address is not a part of the identity: principals at different addresses can be equal.
///
/// A principal is never serialized. The receiver of a fragment builds one from claims that it has verified. No claim
/// makes a principal an administrator.
#[derive(Clone, Debug)]
pub struct Principal {
    name: String,
    groups: BTreeSet<String>,
    attributes: BTreeMap<String, Vec<String>>,
    admin: bool,
    address: Option<IpAddr>,
}

/// The key under which a node counts what a principal uses: the name, and for an anonymous principal also the address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AccountKey {
    name: String,
    address: Option<IpAddr>,
}

impl Principal {
    /// Returns a principal with this name, without groups and attributes, that is not an administrator.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), groups: BTreeSet::new(), attributes: BTreeMap::new(), admin: false, address: None }
    }

    /// Returns the anonymous principal.
    pub fn anonymous() -> Self {
        Self::new(ANONYMOUS)
    }

    /// Returns the anonymous principal of a client at `address`.
    pub fn anonymous_at(address: Option<IpAddr>) -> Self {
        Self { address, ..Self::anonymous() }
    }

    /// Replaces the groups of the principal.
    #[must_use]
    pub fn with_groups(mut self, groups: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.groups = groups.into_iter().map(Into::into).collect();
        self
    }

    /// Replaces the values of an attribute of the principal.
    #[must_use]
    pub fn with_attribute(
        mut self,
        name: impl Into<String>,
        values: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        self.attributes.insert(name.into(), values.into_iter().map(Into::into).collect());
        self
    }

    /// Makes the principal an administrator, or not. Administrators may see and cancel the queries of others.
    #[must_use]
    pub fn with_admin(mut self, admin: bool) -> Self {
        self.admin = admin;
        self
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the groups of the principal.
    pub fn groups(&self) -> &BTreeSet<String> {
        &self.groups
    }

    /// Returns the attributes, such as the claims of the principal's token. Each has one or more values.
    pub fn attributes(&self) -> &BTreeMap<String, Vec<String>> {
        &self.attributes
    }

    /// True if the principal may see and cancel the queries of others.
    pub fn is_admin(&self) -> bool {
        self.admin
    }

    /// True if the principal is not authenticated.
    pub fn is_anonymous(&self) -> bool {
        self.name == ANONYMOUS
    }

    /// Returns the address of an anonymous principal's client, if it is known.
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// Returns the key under which a node counts what the principal uses.
    pub fn account(&self) -> AccountKey {
        AccountKey { name: self.name.clone(), address: self.address }
    }

    /// True if both principals have the same name, so that each owns what the other owns.
    pub fn is_same(&self, other: &Self) -> bool {
        self.name == other.name
    }

    /// True if a node counts what both principals use together.
    pub fn shares_account(&self, other: &Self) -> bool {
        self.name == other.name && self.address == other.address
    }
}

impl PartialEq for Principal {
    fn eq(&self, other: &Self) -> bool {
        let Self { name, groups, attributes, admin, address: _ } = self;
        (name, groups, attributes, admin) == (&other.name, &other.groups, &other.attributes, &other.admin)
    }
}

impl Eq for Principal {}

impl fmt::Display for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => write!(f, "`{}` at {address}", self.name),
            None => write!(f, "`{}`", self.name),
        }
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_owns_goes_by_the_name() {
        let plain = Principal::new("ann");
        let known =
            Principal::new("ann").with_groups(["analysts"]).with_attribute("region", ["eu", "us"]).with_admin(true);
        assert!(plain != known && plain.is_same(&known));
        assert!(!plain.is_same(&Principal::new("bob")));
        assert!(known.groups().contains("analysts") && known.is_admin() && !plain.is_admin());
        assert_eq!(known.attributes()["region"], ["eu", "us"]);
        assert_eq!(known.to_string(), "ann");
    }

    #[test]
    fn visitors_are_distinguished_by_their_address() {
        let at = |last: u8| Principal::anonymous_at(Some([192, 0, 2, last].into()));
        assert!(at(1).is_anonymous() && at(1) == at(2) && at(1).is_same(&at(2)) && at(1) == Principal::anonymous());
        assert!(at(1).shares_account(&at(1)) && !at(1).shares_account(&at(2)));
        assert!(at(1).account() == at(1).account() && at(1).account() != at(2).account());
        assert_eq!(at(1).account().to_string(), "`anonymous` at 192.0.2.1");
        let ann = Principal::new("ann");
        assert!(!ann.is_anonymous() && ann.address().is_none());
        assert!(ann.shares_account(&Principal::new("ann").with_groups(["analysts"])));
        assert_eq!(ann.account().to_string(), "`ann`");
    }
}
