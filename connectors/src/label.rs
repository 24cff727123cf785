//! The label of a result: the highest classification of the columns that were read, and the ports with their versions. It
//! depends on the statement, the contracts and the policies, and on no row.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

/// The largest number of ports that a label names. It counts the others.
pub const MAX_LABEL_PORTS: usize = 32;
/// The largest number of characters of a name, a version or a classification in a label.
const MAX_CHARACTERS: usize = 200;
/// The known classifications, the lowest first. Any other one is higher than these.
const CLASSIFICATIONS: [&str; 4] = ["public", "internal", "confidential", "restricted"];
/// The number of the lowest classification that a label is shown for.
const LOWEST_SHOWN: usize = 2;

/// The label of a result.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultLabel {
    /// The highest classification of the columns that were read. Masked columns do not count. `None` if no column has a
    /// classification.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classification: Option<String>,
    /// The ports that were read, in the order of their names: at most [`MAX_LABEL_PORTS`].
    #[serde(default)]
    pub ports: Vec<LabelledPort>,
    /// The number of ports that the label does not name. A port that several nodes do not name counts several times.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub omitted: u64,
}

/// A port in a label.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelledPort {
    /// The full name.
    pub name: String,
    /// The version in the descriptor of its product.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The version of the policies that decided, if the port is governed and its owner has reported the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policies: Option<String>,
}

impl ResultLabel {
    /// True if nothing was read.
    pub fn is_empty(&self) -> bool {
        self.ports.is_empty() && self.classification.is_none() && self.omitted == 0
    }

    /// True if a port is governed, or if the classification is above `internal`. Other labels are not shown to people.
    pub fn is_notable(&self) -> bool {
        let is_governed = self.ports.iter().any(|port| port.policies.is_some());
        is_governed || self.classification.as_deref().is_some_and(|c| rank(c) >= LOWEST_SHOWN)
    }

    /// Adds a port, and the classifications of the columns of it that were read.
    pub fn add<'a>(&mut self, port: LabelledPort, classifications: impl IntoIterator<Item = &'a str>) {
        classifications.into_iter().for_each(|classification| self.raise(classification));
        let port = port.shortened();
        match self.ports.binary_search_by(|known| known.name.cmp(&port.name)) {
            Ok(place) => {
                if let Some(known) = self.ports.get_mut(place) {
                    known.version = known.version.take().or(port.version);
                    known.policies = known.policies.take().or(port.policies);
                }
            }
            Err(place) if self.ports.len() < MAX_LABEL_PORTS => self.ports.insert(place, port),
            Err(_) => self.omitted = self.omitted.saturating_add(1),
        }
    }

    /// Adds what another label has.
    pub fn merge(&mut self, other: &Self) {
        other.classification.iter().for_each(|classification| self.raise(classification));
        self.omitted = self.omitted.saturating_add(other.omitted);
        other.ports.iter().for_each(|port| self.add(port.clone(), None));
    }

    /// Returns the label within the bounds, in order.
    #[must_use]
    pub fn bounded(&self) -> Self {
        let mut bounded = Self::default();
        bounded.merge(self);
        bounded
    }

    fn raise(&mut self, classification: &str) {
        let new = shortened(classification);
        if self.classification.as_deref().is_none_or(|old| compare(old, &new) == Ordering::Less) {
            self.classification = Some(new);
        }
    }
}

impl LabelledPort {
    fn shortened(self) -> Self {
        let short = |text: Option<String>| text.as_deref().map(shortened);
        Self { name: shortened(&self.name), version: short(self.version), policies: short(self.policies) }
    }
}

/// Returns the place of a classification among the known ones.
fn rank(classification: &str) -> usize {
    let known = CLASSIFICATIONS.iter().position(|known| known.eq_ignore_ascii_case(classification));
    known.unwrap_or(CLASSIFICATIONS.len())
}

/// Compares two classifications. The order of two unknown ones is that of their names.
fn compare(a: &str, b: &str) -> Ordering {
    rank(a).cmp(&rank(b)).then_with(|| a.cmp(b))
}

fn shortened(text: &str) -> String {
    text.chars().take(MAX_CHARACTERS).collect()
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn port(name: &str, policies: Option<&str>) -> LabelledPort {
        let policies = policies.map(str::to_owned);
        LabelledPort { name: name.to_owned(), version: Some("1.0.0".to_owned()), policies }
    }

    fn label(name: &str, policies: Option<&str>, classification: &str) -> ResultLabel {
        let mut label = ResultLabel::default();
        label.add(port(name, policies), Some(classification));
        label
    }

    #[test]
    fn the_highest_classification_counts() {
        for (a, b, highest) in [
            ("public", "internal", "internal"),
            ("restricted", "confidential", "restricted"),
            ("Restricted", "public", "Restricted"),
            ("secret", "restricted", "secret"),
            ("secret", "top-secret", "top-secret"),
        ] {
            for (first, second) in [(a, b), (b, a)] {
                let mut merged = label("d.p.a", None, first);
                merged.merge(&label("d.p.b", None, second));
                assert_eq!(merged.classification.as_deref(), Some(highest), "{first} {second}");
            }
        }
    }

    #[test]
    fn a_label_is_shown_for_governed_ports_and_for_sensitive_columns() {
        for (policies, classification, is_notable) in [
            (None, "public", false),
            (None, "Internal", false),
            (None, "confidential", true),
            (None, "secret", true),
            (Some("v"), "public", true),
        ] {
            assert_eq!(label("d.p.a", policies, classification).is_notable(), is_notable, "{classification}");
        }
        assert!(!ResultLabel::default().is_notable() && ResultLabel::default().is_empty());
    }

    #[test]
    fn a_port_is_named_once_with_all_that_is_known() {
        let mut merged = label("d.p.b", None, "public");
        merged.merge(&label("d.p.b", Some("v1"), "public"));
        merged.merge(&label("d.p.a", None, "public"));
        merged.merge(&label("d.p.b", None, "public"));
        assert_eq!(merged.ports, [port("d.p.a", None), port("d.p.b", Some("v1"))]);
        let json = serde_json::to_string(&merged).unwrap();
        let expected = r#"{"classification":"public","ports":[{"name":"d.p.a","version":"1.0.0"},{"name":"d.p.b","version":"1.0.0","policies":"v1"}]}"#;
        assert_eq!(json, expected);
        assert_eq!(serde_json::from_str::<ResultLabel>(&json).unwrap(), merged);
    }

    #[test]
    fn a_label_is_bounded() {
        let ports = (0..=MAX_LABEL_PORTS).rev().map(|i| port(&format!("d.p.t{i:03}"), None)).collect();
        let classification = Some("x".repeat(10 * MAX_CHARACTERS));
        let mut received = ResultLabel { classification, ports, omitted: 0 };
        let bounded = received.bounded();
        assert_eq!((bounded.ports.len(), bounded.omitted), (MAX_LABEL_PORTS, 1));
        assert!(bounded.ports.is_sorted_by(|a, b| a.name < b.name));
        assert_eq!(bounded.classification.map(|c| c.len()), Some(MAX_CHARACTERS));
        received.ports.pop();
        assert_eq!(received.bounded().omitted, 0);
    }
}
