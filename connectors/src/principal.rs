//! Principals: on whose behalf a query runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// On whose behalf a query runs: a name, and what is known of who has it. What somebody owns goes by the name alone:
/// the rest may change from login to login.
///
/// A principal is never serialized. The receiver of a fragment builds one from claims that it has verified, and none of
/// them makes an administrator.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Principal {
    name: String,
    groups: BTreeSet<String>,
    attributes: BTreeMap<String, Vec<String>>,
    admin: bool,
}

impl Principal {
    /// A principal of that name: in no group, without attributes, and no administrator.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), groups: BTreeSet::new(), attributes: BTreeMap::new(), admin: false }
    }

    /// Nobody in particular.
    pub fn anonymous() -> Self {
        Self::new("anonymous")
    }

    /// The principal with these groups in the place of those that it was in.
    #[must_use]
    pub fn with_groups(mut self, groups: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.groups = groups.into_iter().map(Into::into).collect();
        self
    }

    /// The principal with these values of an attribute in the place of those that it had.
    #[must_use]
    pub fn with_attribute(
        mut self,
        name: impl Into<String>,
        values: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        self.attributes.insert(name.into(), values.into_iter().map(Into::into).collect());
        self
    }

    /// The principal as an administrator, or as none: administrators may see and stop what others run.
    #[must_use]
    pub fn with_admin(mut self, admin: bool) -> Self {
        self.admin = admin;
        self
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The groups that it is in.
    pub fn groups(&self) -> &BTreeSet<String> {
        &self.groups
    }

    /// What else is known of it, such as the claims of its token: each with one value or several.
    pub fn attributes(&self) -> &BTreeMap<String, Vec<String>> {
        &self.attributes
    }

    /// Whether it may see and stop what others run.
    pub fn is_admin(&self) -> bool {
        self.admin
    }

    /// Whether both have the same name, so that the one owns what the other owns.
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
