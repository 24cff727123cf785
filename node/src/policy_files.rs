//! The files of policies and agreements of a node's domain, and the key for masks.

use std::path::Path;
use std::sync::Arc;

use portolan_catalog::{DomainCatalog, ProductName};
use portolan_governance::{MaskKey, PolicyFiles};

use crate::config::NodeConfig;
use crate::open::apart;
use crate::{Error, Result};

/// Reads the policies of the domain's products, those of the mesh, and the key for masks.
///
/// # Errors
/// Reading panics; the key cannot be read or is too short. A file of policies that cannot be read closes the ports of its
/// product.
pub(crate) async fn policy_files(config: &NodeConfig, catalog: &Arc<DomainCatalog>) -> Result<PolicyFiles> {
    let Some(products) = config.products_folder().map(Path::to_path_buf) else { return Ok(PolicyFiles::default()) };
    let (mesh, catalog, mask_key) = (config.policies.clone(), catalog.clone(), config.mask_key.clone());
    apart(move || -> Result<PolicyFiles> {
        let mask_key = mask_key.as_deref().map(read_mask_key).transpose()?;
        Ok(PolicyFiles { mask_key, ..PolicyFiles::read(&catalog, &products, mesh.as_deref()) })
    })
    .await?
}

fn read_mask_key(file: &Path) -> Result<MaskKey> {
    let wrong =
        |reason: &str| Error::config(format!("the file of `mask_key` {} cannot be used: {reason}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|e| wrong(&e.to_string()))?;
    MaskKey::parse(&text).map_err(|e| wrong(&e))
}

/// Logs which products have no policies, so that everybody whom the node accepts may read their ports, unless the policies
/// of the mesh deny it.
pub(crate) fn log_openness(policies: &PolicyFiles, catalog: &DomainCatalog) {
    let open = catalog.products.keys().filter(|product| !policies.products.contains_key(*product));
    let open: Vec<&str> = open.map(ProductName::as_str).collect();
    if !open.is_empty() {
        let products = open.join(", ");
        let except = if policies.mesh.is_empty() { "" } else { ", except those whom the policies of the mesh exclude" };
        tracing::info!(
            domain = %catalog.domain,
            "products without policies of their own, whose ports all principals may read{except}: {products}"
        );
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_key_for_masks_that_is_missing_or_short_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mask.key");
        let missing = read_mask_key(&file).unwrap_err();
        assert!(missing.owner_chain().contains("`mask_key`"), "{}", missing.owner_chain());
        std::fs::write(&file, "too short\n").unwrap();
        let short = read_mask_key(&file).unwrap_err();
        assert!(short.owner_chain().contains("at least 32 bytes"), "{}", short.owner_chain());
        assert!(!short.owner_chain().contains("too short"), "{}", short.owner_chain());
        std::fs::write(&file, "0123456789abcdef0123456789abcdef\n").unwrap();
        assert_eq!(read_mask_key(&file).unwrap().as_bytes(), b"0123456789abcdef0123456789abcdef");
    }
}
