//! The places to which the values of a port may go: the columns whose values may be join keys at nodes of other domains,
//! and the nodes that may hold rows of the port. Values in statistics follow the same rules.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Column, DomainCatalog, Port};
use crate::names::DomainName;

/// The largest number of domains whose nodes may hold rows of a port, if the contract lists them.
pub(crate) const MAX_LISTED: usize = 256;

/// The use of a column's values as join keys at nodes of other domains. The stricter use is the greater one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", from = "Value")]
pub enum KeyUse {
    /// The values may be sent.
    Ship,
    /// The values may be sent in an encoding that does not show them.
    Hash,
    /// The values may not be sent.
    Never,
}

impl KeyUse {
    /// All uses, the strictest one last.
    pub const ALL: [Self; 3] = [Self::Ship, Self::Hash, Self::Never];

    /// Returns the word for the use in contracts and in the catalog.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ship => "ship",
            Self::Hash => "hash",
            Self::Never => "never",
        }
    }

    /// Returns the use with this word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|keys| keys.word() == word)
    }
}

impl From<Value> for KeyUse {
    /// Reads the use in the catalog of another node. A use that this version does not know may be any, so it counts as
    /// the strictest.
    fn from(value: Value) -> Self {
        value.as_str().and_then(Self::of).unwrap_or(Self::Never)
    }
}

impl Column {
    /// True if no node of another domain may get values in statistics. Those of a classified column with the use `hash` go to
    /// trusted nodes only, and to others not at all.
    fn has_guarded_values(&self) -> bool {
        match self.keys() {
            KeyUse::Ship => false,
            KeyUse::Hash => self.is_open(),
            KeyUse::Never => true,
        }
    }
}

impl DomainCatalog {
    /// Returns the catalog without the values in the statistics of columns whose values must not leave: ranges and frequent
    /// values.
    pub fn without_guarded_values(mut self) -> Self {
        if !self.ports().any(|port| port.columns.iter().any(Column::has_guarded_values)) {
            return self;
        }
        for Port { columns, statistics, .. } in self.products.values_mut().flat_map(|p| p.ports.values_mut()) {
            for column in columns.iter().filter(|column| column.has_guarded_values()) {
                if let Some(known) = Arc::make_mut(statistics).columns.get_mut(&column.name) {
                    (known.min, known.max, known.frequent) = (None, None, vec![]);
                }
            }
        }
        self.with_version()
    }
}

/// The nodes that may hold rows of a port, besides the owner's node and the node that the client queries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Value", into = "Value")]
pub enum ProcessedAt {
    /// All nodes.
    #[default]
    Any,
    /// The nodes that the owner trusts.
    Mesh,
    /// No other node.
    Own,
    /// The nodes of these domains.
    Domains(BTreeSet<DomainName>),
}

impl ProcessedAt {
    /// The words for rules without a list.
    pub const WORDS: [&'static str; 3] = ["any", "mesh", "own"];

    /// True if all nodes may hold rows.
    pub fn is_any(&self) -> bool {
        *self == Self::Any
    }

    /// True if a node that owns `domains` may hold rows of a port of the domain `own`. `is_trusted` is true if the owner
    /// trusts the node.
    pub fn allows(&self, own: &DomainName, domains: &BTreeSet<DomainName>, is_trusted: bool) -> bool {
        match self {
            _ if domains.contains(own) => true,
            Self::Any => true,
            Self::Mesh => is_trusted,
            Self::Own => false,
            Self::Domains(listed) => !listed.is_disjoint(domains),
        }
    }

    /// Returns the rule that allows only the nodes that both rules allow.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Any, rule) | (rule, Self::Any) => rule.clone(),
            (Self::Own, _) | (_, Self::Own) => Self::Own,
            (Self::Mesh, rule) | (rule, Self::Mesh) => rule.clone(),
            (Self::Domains(these), Self::Domains(those)) => Self::Domains(these.intersection(those).cloned().collect()),
        }
    }

    /// Returns the rule with this word; `None` if the rule is a list, or if no rule has the word.
    pub fn of(word: &str) -> Option<Self> {
        match word {
            "any" => Some(Self::Any),
            "mesh" => Some(Self::Mesh),
            "own" => Some(Self::Own),
            _ => None,
        }
    }
}

impl From<Value> for ProcessedAt {
    /// Reads the rule in the catalog of another node. A rule that this version does not know may be any, so it counts as
    /// the strictest.
    fn from(value: Value) -> Self {
        let listed = |values: &Vec<Value>| {
            let names = values.iter().map(|name| name.as_str().map(DomainName::new));
            names.collect::<Option<BTreeSet<_>>>().filter(|_| values.len() <= MAX_LISTED)
        };
        match &value {
            Value::String(word) => Self::of(word),
            Value::Array(values) => listed(values).map(Self::Domains),
            _ => None,
        }
        .unwrap_or(Self::Own)
    }
}

impl From<ProcessedAt> for Value {
    fn from(rule: ProcessedAt) -> Self {
        match rule {
            ProcessedAt::Domains(domains) => domains.iter().map(DomainName::as_str).collect(),
            word => Self::String(word.to_string()),
        }
    }
}

impl fmt::Display for ProcessedAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Mesh => f.write_str("mesh"),
            Self::Own => f.write_str("own"),
            Self::Domains(domains) => {
                let names: Vec<&str> = domains.iter().map(DomainName::as_str).collect();
                f.write_str(&names.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    fn domains(names: &[&str]) -> BTreeSet<DomainName> {
        names.iter().map(|name| DomainName::new(*name)).collect()
    }

    #[test]
    fn rules_travel_as_their_words() {
        for keys in KeyUse::ALL {
            assert_eq!(serde_json::to_value(keys).unwrap(), json!(keys.word()));
            assert_eq!(serde_json::from_value::<KeyUse>(json!(keys.word())).unwrap(), keys);
        }
        for word in ProcessedAt::WORDS {
            let rule = ProcessedAt::of(word).unwrap();
            assert_eq!(serde_json::to_value(&rule).unwrap(), json!(word));
            assert_eq!(serde_json::from_value::<ProcessedAt>(json!(word)).unwrap(), rule);
        }
        let listed = ProcessedAt::Domains(domains(&["geo", "supply"]));
        assert_eq!(serde_json::to_value(&listed).unwrap(), json!(["geo", "supply"]));
        assert_eq!(serde_json::from_value::<ProcessedAt>(json!(["supply", "geo"])).unwrap(), listed);
    }

    #[test]
    fn an_unknown_rule_of_a_newer_node_counts_as_the_strictest() {
        for unknown in [json!("salted"), json!(7), json!(null), json!({"form": "hash"}), json!(["ship"])] {
            assert_eq!(serde_json::from_value::<KeyUse>(unknown).unwrap(), KeyUse::Never);
        }
        for unknown in [json!("continent"), json!(7), json!(null), json!({"in": "eu"}), json!(["geo", 7])] {
            assert_eq!(serde_json::from_value::<ProcessedAt>(unknown).unwrap(), ProcessedAt::Own);
        }
        let names = |count: usize| json!((0..count).map(|i| format!("d{i}")).collect::<Vec<_>>());
        let rule = |count| serde_json::from_value::<ProcessedAt>(names(count)).unwrap();
        assert!(matches!(rule(MAX_LISTED), ProcessedAt::Domains(listed) if listed.len() == MAX_LISTED));
        assert_eq!(rule(MAX_LISTED + 1), ProcessedAt::Own);
    }

    #[test]
    fn a_rule_allows_nodes_by_their_domains() {
        let (own, listed) = (DomainName::new("hr"), ProcessedAt::Domains(domains(&["shop"])));
        let all = [ProcessedAt::Any, ProcessedAt::Mesh, ProcessedAt::Own, listed];
        let allowed = |names: &[&str], trusted| {
            all.iter().map(|rule| rule.allows(&own, &domains(names), trusted)).collect::<Vec<_>>()
        };
        assert_eq!(allowed(&["hr"], false), [true, true, true, true], "a replica of the owner");
        assert_eq!(allowed(&["shop"], true), [true, true, false, true]);
        assert_eq!(allowed(&["geo", "shop"], false), [true, false, false, true]);
        assert_eq!(allowed(&["geo"], true), [true, true, false, false]);
        assert_eq!(allowed(&[], false), [true, false, false, false], "an unknown node");
    }

    #[test]
    fn the_stricter_of_two_rules_holds() {
        let listed = |names: &[&str]| ProcessedAt::Domains(domains(names));
        let (any, mesh, own) = (ProcessedAt::Any, ProcessedAt::Mesh, ProcessedAt::Own);
        for (a, b, both) in [
            (&any, &mesh, &mesh),
            (&mesh, &own, &own),
            (&any, &own, &own),
            (&mesh, &listed(&["geo"]), &listed(&["geo"])),
            (&own, &listed(&["geo"]), &own),
            (&listed(&["geo", "shop"]), &listed(&["hr", "shop"]), &listed(&["shop"])),
        ] {
            assert_eq!((&a.and(b), &b.and(a)), (both, both));
        }
        let none = listed(&["geo"]).and(&listed(&["shop"]));
        assert!(!none.allows(&DomainName::new("hr"), &domains(&["geo", "shop"]), true));
    }
}
