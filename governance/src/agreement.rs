//! Agreements: permits for named principals, one purpose and a time, in YAML.

use std::path::Path;

use portolan_catalog::nearest::nearest;
use portolan_catalog::yaml::{self, Document};
use portolan_catalog::{Diagnostic, DomainCatalog, Place, PortRef, ProductName};
use serde::Deserialize;

use crate::caller::Caller;
use crate::rule::Layer;
use crate::time::{DAY, parse_date};

/// An agreement, which permits a principal to read and describe all rows of a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Agreement {
    /// The name for explanations: the file.
    pub(crate) name: String,
    pub(crate) layer: Layer,
    pub(crate) place: Place,
    pub(crate) port: PortRef,
    users: Vec<String>,
    groups: Vec<String>,
    purpose: String,
    /// The first millisecond.
    from: i64,
    /// The first millisecond after the end.
    end: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    port: String,
    who: Who,
    purpose: String,
    from: String,
    until: String,
    #[serde(default, rename = "description")]
    _description: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Who {
    #[serde(default)]
    users: Vec<String>,
    #[serde(default)]
    groups: Vec<String>,
}

impl Agreement {
    /// True if the agreement is with this principal for the declared purpose, at whatever time.
    pub(crate) fn is_with(&self, caller: &Caller) -> bool {
        let is_named = self.users.contains(&caller.name) || self.groups.iter().any(|g| caller.groups.contains(g));
        is_named && caller.purpose.as_ref() == Some(&self.purpose)
    }

    /// True if the agreement is valid at this instant.
    pub(crate) fn is_valid(&self, now: i64) -> bool {
        (self.from..self.end).contains(&now)
    }

    /// Returns the next instant after `now` at which the agreement begins or ends.
    pub(crate) fn next_change(&self, now: i64) -> Option<i64> {
        [self.from, self.end].into_iter().find(|at| *at > now)
    }

    /// Returns how often the agreement has begun or ended until `now`.
    pub(crate) fn changes_until(&self, now: i64) -> usize {
        [self.from, self.end].into_iter().filter(|at| *at <= now).count()
    }

    /// True if the agreement has ended.
    pub(crate) fn is_over(&self, now: i64) -> bool {
        self.end <= now
    }
}

/// Parses an agreement. `product` is the product that it belongs to, or `None` for an agreement of the mesh. Returns
/// `None` for an agreement of the mesh about a port of another domain.
///
/// # Errors
/// All errors of the file.
pub(crate) fn parse(
    text: &str,
    path: &Path,
    catalog: &DomainCatalog,
    product: Option<&ProductName>,
) -> Result<Option<Agreement>, Vec<Diagnostic>> {
    let document = Document::parse(text, path).map_err(|e| e.0)?;
    let file: File = yaml::from_document(document.clone()).map_err(|e| e.0)?;
    let at = |key: &str| document.place(&[key.into()]);
    let mut errors = vec![];
    let port = match find_port(&file.port, catalog, product) {
        Ok(Some(port)) => Some(port),
        Ok(None) => return Ok(None),
        Err((message, suggestion)) => {
            errors.push(Diagnostic { place: at("port"), message, suggestion });
            None
        }
    };
    let mut date = |key: &str, text: &str| {
        let parsed = parse_date(text);
        if parsed.is_none() {
            let message = format!("expected a date `YYYY-MM-DD`, got `{text}`");
            errors.push(Diagnostic::new(at(key), message));
        }
        parsed
    };
    let (from, until) = (date("from", &file.from), date("until", &file.until));
    if let (Some(from), Some(until)) = (from, until)
        && until < from
    {
        errors.push(Diagnostic::new(at("until"), format!("the agreement ends before it begins, on {}", file.from)));
    }
    if file.who.users.is_empty() && file.who.groups.is_empty() {
        errors.push(Diagnostic::new(at("who"), "the agreement is with nobody: name `users` or `groups`"));
    }
    if file.purpose.trim().is_empty() {
        errors.push(Diagnostic::new(at("purpose"), "the purpose is empty: name the one that sessions declare"));
    }
    match (port, from, until) {
        (Some(port), Some(from), Some(until)) if errors.is_empty() => Ok(Some(Agreement {
            name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            layer: if product.is_some() { Layer::Product } else { Layer::Mesh },
            place: document.place(&[]),
            port,
            users: file.who.users,
            groups: file.who.groups,
            purpose: file.purpose,
            from,
            end: until + DAY,
        })),
        _ => Err(errors),
    }
}

/// Finds the port that an agreement names: by its own name or by its full name, in a mesh by its full name.
fn find_port(
    name: &str,
    catalog: &DomainCatalog,
    product: Option<&ProductName>,
) -> Result<Option<PortRef>, (String, Option<String>)> {
    let ports = catalog.ports().map(|port| &port.name).filter(|port| product.is_none_or(|p| *p == port.product));
    let ports: Vec<&PortRef> = ports.collect();
    let is_it = |port: &&&PortRef| port.to_string() == name || product.is_some() && port.port.as_str() == name;
    if let Some(found) = ports.iter().find(is_it) {
        return Ok(Some((*found).clone()));
    }
    let message = match product {
        None if name.matches('.').count() != 2 => format!("expected a full name `domain.product.port`, got `{name}`"),
        None if !name.starts_with(&format!("{}.", catalog.domain)) => return Ok(None),
        None => format!("the domain has no port `{name}`"),
        Some(product) => format!("the product `{product}` has no port `{name}`"),
    };
    let names: Vec<String> = match name.contains('.') || product.is_none() {
        true => ports.iter().map(ToString::to_string).collect(),
        false => ports.iter().map(|port| port.port.to_string()).collect(),
    };
    Err((message, nearest(name, names.iter().map(String::as_str)).map(str::to_string)))
}
