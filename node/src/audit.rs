//! The store of a node's audit records: opened before the engine, and closed after the last request.

use portolan_audit::Store;
use portolan_engine::EngineBuilder;

use crate::config::{AuditStore, NodeConfig};
use crate::open::apart;
use crate::{Error, Result};

/// Opens the store of audit records for an engine, if the config has one. Returns the store, too.
///
/// # Errors
/// A folder that cannot be written, that another process uses, or whose last records are damaged.
pub(crate) async fn with_audit(builder: EngineBuilder, config: &NodeConfig) -> Result<(EngineBuilder, Option<Store>)> {
    let Some(AuditStore { folder, settings, readers }) = config.audit_store() else { return Ok((builder, None)) };
    let shown = folder.display().to_string();
    let store = apart(move || Store::open(folder, settings)).await?.map_err(|e| {
        let what = format!(
            "the node does not start, because it cannot keep audit records: `portolan audit verify {shown}` checks the \
             records that exist, and `audit` in the config names another folder or turns the records off"
        );
        Error::failed(what).with_source(e)
    })?;
    Ok((builder.audit(store.clone(), readers), Some(store)))
}

/// Writes the records that wait, and closes the store. Queries that still run then fail.
pub(crate) async fn close(store: Store) {
    if let Err(error) = apart(move || store.close()).await {
        tracing::warn!(error = error.owner_chain(), "the audit store was not closed");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use crate::Node;
    use crate::config::{AuditConfig, NodeConfig};

    #[tokio::test]
    async fn a_node_that_cannot_keep_audit_records_does_not_start() {
        let folder = tempfile::tempdir().unwrap();
        let audit = AuditConfig { folder: Some(folder.path().join("audit")), ..AuditConfig::default() };
        let config = NodeConfig { audit: Some(audit), ..NodeConfig::default() };
        let first = Node::builder().config(config.clone()).build().await.unwrap();
        let error = Node::builder().config(config.clone()).build().await.unwrap_err().owner_chain();
        assert!(error.contains("cannot keep audit records") && error.contains("another process"), "{error}");
        // A process that does not serve keeps no records.
        Node::builder().config(config).without_services().build().await.unwrap();
        drop(first);
    }
}
