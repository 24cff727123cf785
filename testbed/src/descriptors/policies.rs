//! The policies of the demo's domain `sales`: an analyst sees one region with masked values, and owners see everything.

use std::fs;
use std::path::{Path, PathBuf};

use portolan_node::{Error, Result};

/// The domain with policies.
pub const GOVERNED: &str = "sales";

/// A product of the governed domain, its descriptors, and its policies and agreements with their paths in its folder.
struct GovernedProduct {
    name: &'static str,
    descriptors: &'static [&'static str],
    policies: &'static [(&'static str, &'static str)],
}

static PRODUCTS: [GovernedProduct; 2] = [
    GovernedProduct {
        name: "customers",
        descriptors: &["customers.odps.yaml", "customer.odcs.yaml"],
        policies: &[("policies/customers.cedar", include_str!("sales/policies/customers.cedar"))],
    },
    GovernedProduct {
        name: "orders",
        descriptors: &["orders.odps.yaml", "orders.odcs.yaml", "lineitem.odcs.yaml"],
        policies: &[
            ("policies/orders.cedar", include_str!("sales/policies/orders.cedar")),
            ("agreements/returns.yaml", include_str!("sales/policies/returns.yaml")),
        ],
    },
];

/// Returns the files with the policies and agreements below the folder `products` of [`GOVERNED`].
pub fn files(products: &Path) -> impl Iterator<Item = PathBuf> {
    let files = PRODUCTS.iter().flat_map(|product| product.policies.iter().map(move |(file, _)| (product.name, *file)));
    files.map(move |(product, file)| products.join(product).join(file))
}

/// Adds the policies to the descriptors of [`GOVERNED`] in the folder `products`. Each product gets a folder of its own,
/// because the policies of a product are beside its descriptor.
///
/// # Errors
/// A folder that cannot be written.
pub fn add(products: &Path) -> Result<()> {
    for product in &PRODUCTS {
        let folder = products.join(product.name);
        fs::create_dir_all(&folder).map_err(|e| Error::output(folder.display(), e))?;
        for file in product.descriptors {
            let to = folder.join(file);
            fs::rename(products.join(file), &to).map_err(|e| Error::output(to.display(), e))?;
        }
        for (file, text) in product.policies {
            let path = folder.join(file);
            let parent = path.parent().unwrap_or(&folder);
            fs::create_dir_all(parent).map_err(|e| Error::output(parent.display(), e))?;
            fs::write(&path, text).map_err(|e| Error::output(path.display(), e))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use portolan_catalog::{DomainName, load_domain};

    use super::*;

    #[test]
    fn the_descriptors_load_with_policies_beside_them() {
        let folder = tempfile::tempdir().unwrap();
        let products = super::super::write(GOVERNED, folder.path(), folder.path()).unwrap();
        let before = load_domain(&DomainName::new(GOVERNED), &products).unwrap();
        add(&products).unwrap();
        let after = load_domain(&DomainName::new(GOVERNED), &products).unwrap();
        assert_eq!(
            before.ports().map(|port| &port.name).collect::<Vec<_>>(),
            after.ports().map(|p| &p.name).collect::<Vec<_>>()
        );
        for product in after.products.values() {
            let place = product.place.as_ref().unwrap();
            assert_eq!(place.file.parent(), Some(products.join(product.name.as_str()).as_path()));
        }
        assert!(files(&products).count() == 3 && files(&products).all(|file| file.is_file()));
    }
}
