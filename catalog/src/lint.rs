//! Warnings about a catalog that is valid but could be better. They are for people, and never keep a node from serving.

use std::fmt;

use crate::Place;
use crate::model::{DomainCatalog, Port, Product};

/// A warning about one part of a catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The part that the warning is about: `domain`, `domain.product`, `domain.product.port` or
    /// `domain.product.port.column`.
    pub subject: String,
    /// The place of this part in a file, if it is known.
    pub place: Option<Place>,
    /// The message: lower case, no final period.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: warning: {}: {}", self.subject, self.message),
            None => write!(f, "warning: {}: {}", self.subject, self.message),
        }
    }
}

/// Returns all warnings about `catalog`, in the order of the names.
pub fn lint(catalog: &DomainCatalog) -> Vec<Warning> {
    let mut warnings = vec![];
    if catalog.products.is_empty() {
        warnings.push(Warning {
            subject: catalog.domain.to_string(),
            place: None,
            message: "the domain publishes nothing".into(),
        });
    }
    for product in catalog.products.values() {
        lint_product(&format!("{}.{}", catalog.domain, product.name), product, &mut warnings);
    }
    warnings
}

fn lint_product(subject: &str, product: &Product, warnings: &mut Vec<Warning>) {
    let mut warn = |message: &str| {
        let (place, message) = (product.place.clone(), message.to_string());
        warnings.push(Warning { subject: subject.to_string(), place, message });
    };
    if product.description.is_none() {
        warn("the product has no description");
    }
    if product.owner.is_none() {
        warn("the product has no owner: name a team, or a member of it with the role `owner`");
    }
    if product.version.is_none() {
        warn("the product has no version");
    }
    if product.ports.is_empty() {
        warn("the product has no output ports");
    }
    if ["deprecated", "retired"].iter().any(|s| product.status.eq_ignore_ascii_case(s)) {
        warn(&format!("the product is {}", product.status.to_lowercase()));
    }
    for port in product.ports.values() {
        lint_port(port, warnings);
    }
}

fn lint_port(port: &Port, warnings: &mut Vec<Warning>) {
    let in_contract = port.source.as_ref().map(|s| s.place.clone());
    let mut warn = |place: Option<Place>, message: &str| {
        warnings.push(Warning { subject: port.name.to_string(), place, message: message.to_string() });
    };
    if port.description.is_none() {
        warn(port.place.clone(), "the port has no description");
    }
    if port.primary_key.is_empty() {
        warn(in_contract, "the port's contract declares no primary key");
    }
    for column in &port.columns {
        let mut warn = |message: &str| {
            warnings.push(Warning {
                subject: format!("{}.{}", port.name, column.name),
                place: port.source.as_ref().and_then(|s| s.declared_at.get(&column.name)).cloned(),
                message: message.to_string(),
            });
        };
        if column.description.is_none() {
            warn("the column has no description");
        }
        if column.logical_type.is_none() {
            warn("the column has no `logicalType`, so its type is not checked");
        }
        if column.classification.is_none() && column.tags.iter().any(|t| is_personal(t)) {
            warn("the column is tagged as personal data and has no classification");
        }
    }
}

/// True if the tag is `pii`, or a tag below it, such as `pii.email`, `pii:email` or `PII/email`.
fn is_personal(tag: &str) -> bool {
    tag.split(['.', ':', '/']).next().is_some_and(|head| head.eq_ignore_ascii_case("pii"))
}
