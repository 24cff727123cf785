//! The custom properties about the places of values: `portolan.keys` of a column, and `portolan.processedAt` of a schema
//! object.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{CustomProperty, ReadContract, wrong};
use crate::model::{KeyUse, MAX_LISTED, ProcessedAt};
use crate::names::{DomainName, check_name};
use crate::nearest::nearest;
use crate::yaml::Step;
use crate::{Diagnostic, Place};

/// The custom property of a column: the use of its values as join keys.
pub(crate) const KEYS: &str = "portolan.keys";
/// The custom property of a schema object: the nodes that may hold rows.
pub(crate) const PROCESSED_AT: &str = "portolan.processedAt";

impl ReadContract {
    /// Returns the uses as join keys that the columns of `schema[object]` declare, by the name of the column.
    ///
    /// # Errors
    /// Values that are no use, and columns that declare a second one.
    pub(crate) fn key_uses(&self, object: usize) -> Result<BTreeMap<String, KeyUse>, Vec<Diagnostic>> {
        let (mut uses, mut errors) = (BTreeMap::new(), vec![]);
        for (column, property) in self.contract.schema[object].columns() {
            let parent: [Step; 4] = ["schema".into(), object.into(), "properties".into(), column.into()];
            let place = |i: usize, key: &str| self.own_place(&parent, i, key);
            if let Some((i, value)) = only(&property.custom_properties, KEYS, &place, &mut errors) {
                match value.as_str().and_then(KeyUse::of) {
                    Some(keys) => {
                        uses.insert(property.name.clone(), keys);
                    }
                    None => errors.push(not_a_word(value, &KeyUse::ALL.map(KeyUse::word), "", place(i, "value"))),
                }
            }
        }
        if errors.is_empty() { Ok(uses) } else { Err(errors) }
    }

    /// Returns the nodes that may hold rows of `schema[object]`: all nodes, if the contract declares none.
    ///
    /// # Errors
    /// A value that is neither a word nor a list of domains, and a second declaration.
    pub(crate) fn processed_at(&self, object: usize) -> Result<ProcessedAt, Vec<Diagnostic>> {
        let mut errors = vec![];
        let parent: [Step; 2] = ["schema".into(), object.into()];
        let place = |i: usize, key: &str| self.own_place(&parent, i, key);
        let own = &self.contract.schema[object].custom_properties;
        let rule = match only(own, PROCESSED_AT, &place, &mut errors) {
            None => ProcessedAt::Any,
            Some((i, Value::Array(names))) => listed(names).map(ProcessedAt::Domains).unwrap_or_else(|message| {
                errors.push(wrong(place(i, "value"), message));
                ProcessedAt::Own
            }),
            Some((i, value)) => value.as_str().and_then(ProcessedAt::of).unwrap_or_else(|| {
                errors.push(not_a_word(value, &ProcessedAt::WORDS, " or a list of domains", place(i, "value")));
                ProcessedAt::Own
            }),
        };
        if errors.is_empty() { Ok(rule) } else { Err(errors) }
    }

    fn own_place(&self, parent: &[Step], i: usize, key: &str) -> Place {
        let own: [Step; 3] = ["customProperties".into(), i.into(), key.into()];
        let steps: Vec<Step> = parent.iter().cloned().chain(own).collect();
        self.document.place(&steps)
    }
}

/// Returns the value of a custom property and its position. A second one is an error.
fn only<'a>(
    properties: &'a [CustomProperty],
    name: &str,
    place: &impl Fn(usize, &str) -> Place,
    errors: &mut Vec<Diagnostic>,
) -> Option<(usize, &'a Value)> {
    let mut found = properties.iter().enumerate().filter(|(_, own)| own.property == name);
    let (first, own) = found.next()?;
    for (i, _) in found {
        let used = Place { field: String::new(), ..place(first, "property") };
        errors.push(wrong(place(i, "property"), format!("`{name}` is also at {used}: remove one of them")));
    }
    Some((first, &own.value))
}

fn listed(names: &[Value]) -> Result<BTreeSet<DomainName>, String> {
    if names.is_empty() {
        return Err("expected at least one domain; `own` allows no other node".to_owned());
    }
    if names.len() > MAX_LISTED {
        return Err(format!("expected at most {MAX_LISTED} domains, got {}", names.len()));
    }
    let domain = |name: &Value| {
        let name = name.as_str().ok_or_else(|| format!("expected the name of a domain, got `{name}`"))?;
        check_name(name).map(|()| DomainName::new(name)).map_err(|e| format!("this is no name of a domain: {e}"))
    };
    names.iter().map(domain).collect()
}

/// Returns the error for a value that is none of the words. `or` follows the words.
fn not_a_word(value: &Value, words: &[&str], or: &str, place: Place) -> Diagnostic {
    let got = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let shown: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    let message = format!("expected {}{or}, got `{got}`", shown.join(", "));
    let suggestion = value.as_str().and_then(|word| nearest(word, words.iter().copied())).map(str::to_owned);
    Diagnostic { place, message, suggestion }
}
