//! Principals: the identities on whose behalf queries run.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The identity on whose behalf a query runs: a name, groups and attributes. The name alone decides what a principal
/// owns, because groups and attributes may change from login to login.
///
/// A principal is never serialized. The receiver of a fragment builds one from claims that it has verified. No claim
/// makes a principal an administrator.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Principal {
    name: String,
    groups: BTreeSet<String>,
    attributes: BTreeMap<String, Vec<String>>,
    admin: bool,
}

impl Principal {
    /// Returns a principal with this name, without groups and attributes, that is not an administrator.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), groups: BTreeSet::new(), attributes: BTreeMap::new(), admin: false }
    }

    /// Returns the anonymous principal.
    pub fn anonymous() -> Self {
        Self::new("anonymous")
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

    /// True if both principals have the same name, so that each owns what the other owns.
    pub fn is_same(&self, other: &Self) -> bool {
        self.name == other.name
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
}
