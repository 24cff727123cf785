//! DataFusion's catalogs over one view of the mesh. Immutable and without I/O: planning never waits for a node.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider};
use datafusion::common::Result;
use datafusion::execution::session_state::SessionState;
use portolan_catalog::{DomainEntry, DomainName, PortRef, Product, ProductName, ServedBy};
use portolan_connectors::SiteId;

use super::port_table::{PortSite, PortTable};
use super::session_names::{SearchPath, SessionSchema};
use super::{MESH_SCHEMA, RESERVED_CATALOG, SEARCH_SCHEMA, SESSION_SCHEMA, SessionNames, activity_tables, mesh_tables};
use crate::dialect::SessionFacts;
use crate::mesh::MeshView;

/// Every domain as a catalog, and the catalog that every node has.
#[derive(Debug)]
pub(crate) struct MeshCatalogs {
    view: Arc<MeshView>,
    /// The names of the session, which its statements see as well; `None` for fragments of other nodes.
    session: Option<Arc<SessionNames>>,
}

#[derive(Debug)]
struct DomainCatalogProvider {
    view: Arc<MeshView>,
    session: Option<Arc<SessionNames>>,
    /// The domain; `None` for the catalog that every node has.
    domain: Option<DomainName>,
}

#[derive(Debug)]
struct ProductSchema {
    view: Arc<MeshView>,
    domain: DomainName,
    product: ProductName,
}

#[derive(Debug)]
struct MeshSchema {
    view: Arc<MeshView>,
    session: Option<Arc<SessionNames>>,
}

impl MeshCatalogs {
    pub(crate) fn new(view: Arc<MeshView>, session: Option<Arc<SessionNames>>) -> Self {
        Self { view, session }
    }

    /// Returns the view of the mesh.
    pub(crate) fn view(&self) -> &Arc<MeshView> {
        &self.view
    }

    /// Returns the names of the session, if a statement of a session sees the catalogs.
    pub(crate) fn session(&self) -> Option<&Arc<SessionNames>> {
        self.session.as_ref()
    }
}

/// Lets `state` plan statements over a view of the mesh, and over the names that a session adds.
pub(crate) fn set_names(state: &mut SessionState, view: &Arc<MeshView>, names: Option<Arc<SessionNames>>) {
    if let Some(names) = &names {
        let catalog = names.catalog.as_deref().unwrap_or(RESERVED_CATALOG);
        let options = &mut state.config_mut().options_mut().catalog;
        options.default_catalog = catalog.to_owned();
        options.default_schema = SEARCH_SCHEMA.to_owned();
        state.config_mut().set_extension(Arc::new(SessionFacts {
            user: names.client.principal.name().to_owned(),
            catalog: catalog.to_owned(),
            schema: names.schema.clone().unwrap_or_else(|| MESH_SCHEMA.to_owned()),
        }));
    }
    state.register_catalog_list(Arc::new(MeshCatalogs::new(view.clone(), names)));
}

impl CatalogProviderList for MeshCatalogs {
    fn register_catalog(&self, _: String, _: Arc<dyn CatalogProvider>) -> Option<Arc<dyn CatalogProvider>> {
        None
    }

    fn catalog_names(&self) -> Vec<String> {
        let domains = self.view.snapshot.domains.keys().map(|d| d.as_str().to_owned());
        domains.chain([RESERVED_CATALOG.to_owned()]).collect()
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        let domain = if name == RESERVED_CATALOG {
            None
        } else {
            Some(self.view.snapshot.domains.get_key_value(&DomainName::new(name))?.0.clone())
        };
        Some(Arc::new(DomainCatalogProvider { view: self.view.clone(), session: self.session.clone(), domain }))
    }
}

impl DomainCatalogProvider {
    fn entry(&self) -> Option<&DomainEntry> {
        self.view.snapshot.domains.get(self.domain.as_ref()?)
    }
}

impl CatalogProvider for DomainCatalogProvider {
    fn schema_names(&self) -> Vec<String> {
        match self.entry() {
            Some(entry) => entry.catalog.products.keys().map(|p| p.as_str().to_owned()).collect(),
            None => {
                let own = self.session.as_ref().filter(|s| !s.is_empty()).map(|_| SESSION_SCHEMA.into());
                [MESH_SCHEMA.into()].into_iter().chain(own).collect()
            }
        }
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        // `mesh.ports` exists in every current catalog.
        if name == MESH_SCHEMA {
            return Some(Arc::new(MeshSchema { view: self.view.clone(), session: self.session.clone() }));
        }
        if let Some(session) = &self.session {
            if name == SEARCH_SCHEMA {
                let current = session.schema.as_deref().unwrap_or(MESH_SCHEMA);
                let current = if current == SEARCH_SCHEMA { None } else { self.schema(current) };
                return Some(Arc::new(SearchPath { own: session.clone(), current }));
            }
            if name == SESSION_SCHEMA && self.domain.is_none() {
                return Some(Arc::new(SessionSchema(session.clone())));
            }
        }
        let (product, _) = self.entry()?.catalog.products.get_key_value(&ProductName::new(name))?;
        let domain = self.domain.clone()?;
        Some(Arc::new(ProductSchema { view: self.view.clone(), domain, product: product.clone() }))
    }
}

impl ProductSchema {
    fn product(&self) -> Option<(&DomainEntry, &Product)> {
        let entry = self.view.snapshot.domains.get(&self.domain)?;
        Some((entry, entry.catalog.products.get(&self.product)?))
    }

    fn provider(&self, name: &str) -> Option<PortTable> {
        let (entry, product) = self.product()?;
        let port = product.ports.get(&portolan_catalog::PortName::new(name))?;
        port_table(&self.view, entry, &port.name)
    }
}

/// Returns the port as a table, if its columns are known.
pub(crate) fn port_table(view: &MeshView, entry: &DomainEntry, name: &PortRef) -> Option<PortTable> {
    let site = match &entry.served_by {
        ServedBy::Here => {
            let opened = view.local.get(name)?;
            match &opened.site {
                Some(at) => PortSite::Site { site: at.site.id().clone(), table: Some(at.table.clone()) },
                None => PortSite::Here(opened.provider.clone()),
            }
        }
        // The view has a site of this name, also for several replicas.
        peers @ ServedBy::Peers(_) => PortSite::Site { site: SiteId::new(peers.to_string()), table: None },
    };
    let port = entry.catalog.port(&name.product, &name.port)?;
    let schema = match &site {
        PortSite::Here(provider) => provider.schema(),
        PortSite::Site { .. } => nullable(port.schema()?.as_ref()),
    };
    let table = PortTable::new(port, site, schema);
    Some(if view.is_of_queries { table.of_query() } else { table })
}

/// Makes every column nullable. A contract's `required` is declared and not checked, so it must not justify a rewrite.
fn nullable(schema: &arrow::datatypes::Schema) -> arrow::datatypes::SchemaRef {
    let fields: Vec<_> = schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
    Arc::new(arrow::datatypes::Schema::new(fields))
}

#[async_trait]
impl SchemaProvider for ProductSchema {
    fn table_names(&self) -> Vec<String> {
        self.product().map(|(_, p)| p.ports.keys().map(|p| p.as_str().to_owned()).collect()).unwrap_or_default()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        Ok(self.provider(name).map(|t| Arc::new(t) as _))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.provider(name).is_some()
    }
}

#[async_trait]
impl SchemaProvider for MeshSchema {
    fn table_names(&self) -> Vec<String> {
        let activity = if self.session.is_some() { activity_tables::NAMES } else { &[] };
        mesh_tables::NAMES.iter().chain(activity).map(|n| (*n).to_owned()).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        match &self.session {
            Some(session) if activity_tables::NAMES.contains(&name) => activity_tables::table(name, session),
            session => {
                let plans = session.as_ref().map(|session| session.plans.totals());
                mesh_tables::table(name, &self.view.snapshot, plans)
            }
        }
    }

    fn table_exist(&self, name: &str) -> bool {
        mesh_tables::NAMES.contains(&name) || (self.session.is_some() && activity_tables::NAMES.contains(&name))
    }
}
