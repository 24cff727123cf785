//! Callers: principals as policies see them, with what their session declares.

use std::collections::{BTreeMap, BTreeSet};

/// The principal of a request, the purpose that its session declared, and the nodes on the way.
///
/// Two callers that are equal get the same decisions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Caller {
    /// The name of the principal.
    pub name: String,
    /// The groups of the principal.
    pub groups: BTreeSet<String>,
    /// The attributes of the principal. Each has one or more values.
    pub attributes: BTreeMap<String, Vec<String>>,
    /// The purpose that the session declared, if it declared one.
    pub purpose: Option<String>,
    /// The nodes between the principal and this node.
    pub via: BTreeSet<String>,
}

impl Caller {
    /// Returns a caller with this name, without groups, attributes, purpose and nodes on the way.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Replaces the groups.
    #[must_use]
    pub fn with_groups(mut self, groups: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.groups = groups.into_iter().map(Into::into).collect();
        self
    }

    /// Replaces the values of an attribute.
    #[must_use]
    pub fn with_attribute(
        mut self,
        name: impl Into<String>,
        values: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        self.attributes.insert(name.into(), values.into_iter().map(Into::into).collect());
        self
    }

    /// Sets the purpose.
    #[must_use]
    pub fn with_purpose(mut self, purpose: impl Into<String>) -> Self {
        self.purpose = Some(purpose.into());
        self
    }

    /// Replaces the nodes on the way.
    #[must_use]
    pub fn with_via(mut self, nodes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.via = nodes.into_iter().map(Into::into).collect();
        self
    }
}
