//! The line below a result about its label: the highest classification, and the ports with their versions.

use portolan_catalog::printable;
use portolan_engine::{LabelledPort, ResultLabel};

use crate::render::fit;

/// Returns the line, cut to a terminal of `width` columns if there is one. `None` if nothing is governed or sensitive.
pub fn line(label: &ResultLabel, width: Option<usize>) -> Option<String> {
    if !label.is_notable() {
        return None;
    }
    let is_governed = |port: &&LabelledPort| port.policies.is_some();
    let (governed, others): (Vec<_>, Vec<_>) = label.ports.iter().partition(is_governed);
    let mut ports: Vec<String> = governed.into_iter().chain(others).map(shown).collect();
    if label.omitted > 0 {
        ports.push(format!("{} more", label.omitted));
    }
    let parts = label.classification.iter().cloned().chain([ports.join(", ")]);
    let text = format!("label: {}", parts.collect::<Vec<_>>().join(" · "));
    let text = printable(&text);
    let text = width.map_or_else(|| text.clone().into_owned(), |width| fit(&text, width, false));
    Some(format!("{}\n", text.trim_end()))
}

fn shown(port: &LabelledPort) -> String {
    let version = port.version.iter().map(|version| format!(" {version}"));
    let governed = port.policies.iter().map(|_| " (governed)".to_owned());
    std::iter::once(port.name.clone()).chain(version).chain(governed).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn label() -> ResultLabel {
        let port = |name: &str, policies: Option<&str>| LabelledPort {
            name: name.to_owned(),
            version: Some("1.2.0".to_owned()),
            policies: policies.map(str::to_owned),
        };
        let mut label = ResultLabel::default();
        label.add(port("crm.customers.customers", None), Some("restricted"));
        label.add(port("sales.orders.orders", Some("v7")), Some("internal"));
        label
    }

    #[test]
    fn governed_ports_come_first() {
        let expected = "label: restricted · sales.orders.orders 1.2.0 (governed), crm.customers.customers 1.2.0\n";
        assert_eq!(line(&label(), None).unwrap(), expected);
    }

    #[test]
    fn the_line_fits_the_terminal() {
        let shown = line(&label(), Some(40)).unwrap();
        assert_eq!(shown.trim_end().chars().count(), 40, "{shown}");
        assert!(shown.ends_with("…\n"), "{shown}");
        let more = ResultLabel { omitted: 3, ..label() };
        assert!(line(&more, None).unwrap().ends_with("crm.customers.customers 1.2.0, 3 more\n"));
    }

    #[test]
    fn a_result_without_policies_and_sensitive_columns_has_no_line() {
        let mut label = label();
        assert_eq!(line(&ResultLabel::default(), None), None);
        label.ports.remove(1);
        label.classification = Some("internal".to_owned());
        assert_eq!(line(&label, None), None);
        label.classification = Some("a\u{1b}b".to_owned());
        assert!(!line(&label, None).unwrap().contains('\u{1b}'));
    }
}
