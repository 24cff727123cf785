//! The ports that the user names.

use portolan_catalog::nearest::nearest;
use portolan_catalog::{DomainCatalog, Port, PortRef};

use crate::{Error, Result};

/// Returns the ports that one of the names means, in the order of their own names. Without names, all ports.
///
/// # Errors
/// A name that means no port.
pub(crate) fn select<'a>(catalog: &'a DomainCatalog, names: &[String]) -> Result<Vec<&'a Port>> {
    for name in names {
        if !catalog.ports().any(|port| means(name, &port.name)) {
            return Err(unknown(catalog, name));
        }
    }
    let is_named = |port: &&Port| names.is_empty() || names.iter().any(|name| means(name, &port.name));
    Ok(catalog.ports().filter(is_named).collect())
}

/// True if a name means a port, or the product or domain of the port.
fn means(name: &str, port: &PortRef) -> bool {
    let (domain, product, port) = (port.domain.as_str(), port.product.as_str(), port.port.as_str());
    match name.split('.').collect::<Vec<_>>().as_slice() {
        [only] => [domain, product, port].contains(only),
        [first, second] => [[domain, product], [product, port]].contains(&[*first, *second]),
        [first, second, third] => [*first, *second, *third] == [domain, product, port],
        _ => false,
    }
}

fn unknown(catalog: &DomainCatalog, name: &str) -> Error {
    let mut known: Vec<String> = vec![];
    for port in catalog.ports() {
        let PortRef { product, port: own, .. } = &port.name;
        known.extend([product.to_string(), own.to_string(), format!("{product}.{own}"), port.name.to_string()]);
    }
    let hint = nearest(name, known.iter().map(String::as_str)).map(|near| format!("; did you mean `{near}`?"));
    let hint = hint.unwrap_or_default();
    Error::config(format!("the domain {} has no product and no port `{name}`{hint}", catalog.domain))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_name_means_products_and_ports() {
        let names = [("shop", "orders"), ("shop", "people"), ("stock", "orders"), ("stock", "parts")];
        let ports = names.map(|(product, port)| Port::new(PortRef::new("retail", product, port)));
        let catalog = DomainCatalog::new("retail", ports);
        let selected = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let ports = select(&catalog, &names)?;
            Ok::<_, Error>(ports.iter().map(|p| format!("{}.{}", p.name.product, p.name.port)).collect::<Vec<_>>())
        };
        assert_eq!(selected(&[]).unwrap().len(), 4);
        assert_eq!(selected(&["retail"]).unwrap().len(), 4);
        assert_eq!(selected(&["shop"]).unwrap(), ["shop.orders", "shop.people"]);
        assert_eq!(selected(&["orders"]).unwrap(), ["shop.orders", "stock.orders"]);
        assert_eq!(selected(&["parts", "shop.orders"]).unwrap(), ["shop.orders", "stock.parts"]);
        assert_eq!(selected(&["retail.stock.orders"]).unwrap(), ["stock.orders"]);
        let error = selected(&["shop.order"]).unwrap_err().to_string();
        assert_eq!(error, "the domain retail has no product and no port `shop.order`; did you mean `shop.orders`?");
    }
}
