//! Checks that the references of a domain's ports lead to ports and columns, as far as the domain alone shows it: a
//! reference may lead to another domain.

use std::collections::BTreeMap;

use crate::model::{Port, Product, Reference};
use crate::names::{DomainName, PortName, PortRef, ProductName};
use crate::nearest::nearest;
use crate::{Diagnostic, Place};

type Products = BTreeMap<ProductName, Product>;

/// Returns an error for each reference that leads nowhere.
pub(super) fn dangling(
    domain: &DomainName,
    products: &Products,
    references: &[(PortRef, Reference, Place)],
) -> Vec<Diagnostic> {
    let wrong = references.iter().filter_map(|(from, reference, place)| {
        let (message, suggestion) = check(domain, products, from, reference).err()?;
        Some(Diagnostic { place: place.clone(), message, suggestion })
    });
    wrong.collect()
}

/// Checks one reference, by the rules of [`MeshSnapshot::referenced`](crate::MeshSnapshot::referenced).
///
/// # Errors
/// The message, and the nearest valid name.
fn check(
    domain: &DomainName,
    products: &Products,
    from: &PortRef,
    reference: &Reference,
) -> Result<(), (String, Option<String>)> {
    let port = match reference.table.as_slice() {
        [other, _, _] if *other != domain.as_str() => return Ok(()),
        [_, product, port] => Some(named(products, product, port)?),
        [product, port] => match products.contains_key(&ProductName::new(product)) {
            true => Some(named(products, product, port)?),
            // The product may be that of another domain.
            false => None,
        },
        [port] => nearest_called(products, from, port)?,
        _ => None,
    };
    // The port may be that of another domain.
    let Some(port) = port else { return Ok(()) };
    let names = || port.columns.iter().map(|column| column.name.as_str());
    match reference.referenced_columns.iter().find(|name| !names().any(|known| known == *name)) {
        Some(missing) => {
            let message = format!("the referenced port `{}` has no column `{missing}`", port.name);
            Err((message, nearest(missing, names()).map(str::to_owned)))
        }
        None => Ok(()),
    }
}

/// Returns the port of this product and name.
fn named<'a>(products: &'a Products, product: &str, port: &str) -> Result<&'a Port, (String, Option<String>)> {
    let found = products.get(&ProductName::new(product)).and_then(|product| product.ports.get(&PortName::new(port)));
    found.ok_or_else(|| {
        let known = products.values().flat_map(|product| product.ports.values());
        let known: Vec<String> = known.map(|port| format!("{}.{}", port.name.product, port.name.port)).collect();
        let name = format!("{product}.{port}");
        let suggestion = nearest(&name, known.iter().map(String::as_str)).map(str::to_owned);
        (format!("the domain has no port `{name}`"), suggestion)
    })
}

/// Returns the port of this name in the product of `from`, or else the only one in the domain. `None` if there is none.
fn nearest_called<'a>(
    products: &'a Products,
    from: &PortRef,
    port: &str,
) -> Result<Option<&'a Port>, (String, Option<String>)> {
    let name = PortName::new(port);
    if let Some(beside) = products.get(&from.product).and_then(|product| product.ports.get(&name)) {
        return Ok(Some(beside));
    }
    let called: Vec<&Port> = products.values().filter_map(|product| product.ports.get(&name)).collect();
    match called.as_slice() {
        [] => Ok(None),
        [only] => Ok(Some(only)),
        [first, ..] => {
            let message = format!("several products have a port `{port}`: put the name of the product before it");
            Err((message, Some(format!("{}.{port}", first.name.product))))
        }
    }
}
