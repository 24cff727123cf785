//! A cache of the encoded columns of ports. Encoding is most of the work of listing tables with their columns, and a
//! catalog changes far less often than clients browse it.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use arrow::datatypes::Schema;
use bytes::Bytes;
use portolan_catalog::{DomainCatalog, DomainName, MeshSnapshot, Port, PortName, PortRef, ProductName};
use portolan_connectors::lock;
use portolan_engine::Result;

use crate::rows::{Strings, describe_table_column, ipc_schema, plain_schema};

/// The largest size of the cache, in bytes: enough for some 13,000 ports with 20 described columns each. The columns of
/// other ports are encoded for each request.
const KEPT_BYTES: usize = 192 << 20;

/// The encoded columns of the ports of the mesh, by domain and catalog version.
#[derive(Debug, Default)]
pub(crate) struct SchemaCache {
    domains: Mutex<HashMap<DomainName, Arc<DomainTables>>>,
    kept: Arc<AtomicUsize>,
}

/// The ports of one domain in one version of its catalog.
#[derive(Debug)]
pub(super) struct DomainTables {
    catalog: Arc<DomainCatalog>,
    pub(super) products: BTreeMap<ProductName, BTreeMap<PortName, Arc<ListedPort>>>,
}

/// A port that is listed as a table.
#[derive(Debug)]
pub(super) struct ListedPort {
    pub(super) name: PortRef,
    catalog: Arc<DomainCatalog>,
    /// The encoded columns, with plain strings and with views.
    encoded: [OnceLock<Arc<EncodedColumns>>; 2],
    kept: Arc<AtomicUsize>,
}

/// Encoded columns, which count towards the size of the cache until they are dropped.
#[derive(Debug)]
struct EncodedColumns {
    bytes: Bytes,
    kept: Arc<AtomicUsize>,
}

impl SchemaCache {
    /// Returns the ports of a domain of `mesh`. A port keeps its encoded columns if its columns are the same as in the
    /// previous version.
    pub(super) fn tables(&self, mesh: &MeshSnapshot, catalog: &Arc<DomainCatalog>) -> Arc<DomainTables> {
        let mut domains = lock(&self.domains);
        let before = domains.get(&catalog.domain);
        if let Some(same) = before.filter(|tables| Arc::ptr_eq(&tables.catalog, catalog)) {
            return same.clone();
        }
        let tables = Arc::new(DomainTables::new(catalog, before.map(Arc::as_ref), &self.kept));
        domains.retain(|domain, _| mesh.domains.contains_key(domain));
        domains.insert(catalog.domain.clone(), tables.clone());
        tables
    }

    /// Returns the size of the cache in bytes.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.kept.load(Ordering::Relaxed)
    }
}

impl DomainTables {
    fn new(catalog: &Arc<DomainCatalog>, before: Option<&Self>, kept: &Arc<AtomicUsize>) -> Self {
        let table = |port: &Port| {
            let encoded = before.and_then(|before| before.encoded(port)).unwrap_or_default();
            let (name, catalog, kept) = (port.name.clone(), catalog.clone(), kept.clone());
            (port.name.port.clone(), Arc::new(ListedPort { name, catalog, encoded, kept }))
        };
        let products = catalog
            .products
            .iter()
            .map(|(name, product)| (name.clone(), product.ports.values().map(table).collect()))
            .collect();
        Self { catalog: catalog.clone(), products }
    }

    /// Returns the encoded columns of a port, if this version has the same columns.
    fn encoded(&self, port: &Port) -> Option<[OnceLock<Arc<EncodedColumns>>; 2]> {
        let known = self.catalog.port(&port.name.product, &port.name.port)?;
        let table = self.products.get(&port.name.product)?.get(&port.name.port)?;
        (known.columns == port.columns).then(|| table.encoded.clone())
    }
}

impl ListedPort {
    /// Returns the columns as the message that Flight SQL puts them in.
    pub(super) fn columns(&self, strings: Strings) -> Result<Bytes> {
        let place = match strings {
            Strings::Plain => &self.encoded[0],
            Strings::Views => &self.encoded[1],
        };
        if let Some(known) = place.get() {
            return Ok(known.bytes.clone());
        }
        let port = self.catalog.port(&self.name.product, &self.name.port);
        let bytes = ipc_schema(&port.map_or_else(Schema::empty, |port| columns(port, strings)))?;
        if self.kept.load(Ordering::Relaxed) + bytes.len() <= KEPT_BYTES {
            place.get_or_init(|| EncodedColumns::new(bytes.clone(), &self.kept));
        }
        Ok(bytes)
    }
}

impl EncodedColumns {
    fn new(bytes: Bytes, kept: &Arc<AtomicUsize>) -> Arc<Self> {
        kept.fetch_add(bytes.len(), Ordering::Relaxed);
        Arc::new(Self { bytes, kept: kept.clone() })
    }
}

impl Drop for EncodedColumns {
    fn drop(&mut self) {
        self.kept.fetch_sub(self.bytes.len(), Ordering::Relaxed);
    }
}

/// Returns the columns of a port, with the metadata from its contract. There are no columns before the owner has opened
/// the port.
fn columns(port: &Port, strings: Strings) -> Schema {
    let Some(schema) = port.schema() else { return Schema::empty() };
    let plain = plain_schema(&schema, strings);
    let remarks = port.columns.iter().map(|column| column.description.as_deref());
    Schema::new(plain.fields().iter().zip(remarks).map(|(f, r)| describe_table_column(f, r)).collect::<Vec<_>>())
}
