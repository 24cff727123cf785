//! A port as a table: its name, its site, and for a port of this node, the provider of its rows or the plan of its
//! query.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{ScanArgs, ScanResult, Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics, internal_err};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, TableProviderFilterPushDown, TableScan, TableType};
use datafusion::physical_plan::ExecutionPlan;
use portolan_catalog::{Port, PortRef, PortStatistics};
use portolan_connectors::SiteId;
use portolan_connectors::sql::SqlTable;

use super::barrier::Barrier;
use super::derived_table::DerivedTable;

/// The place of a port's rows.
#[derive(Clone, Debug)]
pub(crate) enum PortSite {
    /// In this process.
    Here(Arc<dyn TableProvider>),
    /// At another site. If the site is a node, the table has no name there, because the port has one.
    Site {
        /// The site.
        site: SiteId,
        /// The table as the site's queries read it; `None` if the site knows the port by its name.
        table: Option<Arc<SqlTable>>,
    },
}

/// A port as a table.
pub(crate) struct PortTable {
    pub(crate) name: PortRef,
    pub(crate) site: PortSite,
    schema: SchemaRef,
    /// The owner's statistics of the port's data.
    pub(crate) statistics: Arc<PortStatistics>,
    /// The key that the port's contract declares; empty if it declares none.
    pub(crate) primary_key: Vec<String>,
    /// The plan of the query of a derived port of this node. It takes the place of a scan.
    query: Option<LogicalPlan>,
    /// True if the query of a derived port reads the port. Such a scan does not travel.
    pub(crate) is_of_query: bool,
}

impl PortTable {
    /// Returns the port that a catalog describes, at that site and with those columns.
    pub(crate) fn new(port: &Port, site: PortSite, schema: SchemaRef) -> Self {
        let query = derived(&site).map(|table| below_barrier(&port.name, table.written.clone()));
        Self {
            name: port.name.clone(),
            site,
            schema,
            statistics: port.statistics.clone(),
            primary_key: port.primary_key.clone(),
            query,
            is_of_query: false,
        }
    }

    /// Returns the table for a fragment, whose sender has analysed the rest of it.
    pub(crate) fn of_fragment(self) -> Self {
        let query = derived(&self.site).map(|table| below_barrier(&self.name, table.analysed.clone()));
        Self { query, ..self }
    }

    /// Returns the table for the query of a derived port.
    pub(super) fn of_query(self) -> Self {
        // The query of a derived port reads its inputs on behalf of their owner.
        let query = derived(&self.site).map(|table| table.written.clone());
        Self { query, is_of_query: true, ..self }
    }

    /// True if this node owns the port: its rows are here, or in a database of this node.
    pub(crate) fn is_own(&self) -> bool {
        matches!(self.site, PortSite::Here(_) | PortSite::Site { table: Some(_), .. })
    }

    /// True if a column is read as it is stored, in a file or in a table of a database, so that nothing is computed.
    pub(crate) fn stores(&self, column: &str) -> bool {
        match &self.site {
            PortSite::Here(_) => true,
            PortSite::Site { table, .. } => table.as_ref().is_some_and(|table| table.stores(column)),
        }
    }

    /// True if a plan takes the place of the table.
    pub(crate) fn is_query(&self) -> bool {
        self.query.is_some()
    }

    /// Returns the port that a scan reads, if it reads one.
    pub(crate) fn with_scanned<T>(scan: &TableScan, read: impl FnOnce(&Self) -> T) -> Option<T> {
        let provider = source_as_provider(&scan.source).ok()?;
        provider.downcast_ref::<Self>().map(read)
    }
}

/// Returns the rows of a derived port, with a mark by which the planner finds the port in a plan.
fn below_barrier(port: &PortRef, input: LogicalPlan) -> LogicalPlan {
    LogicalPlan::Extension(Extension { node: Arc::new(Barrier { port: port.clone(), input }) })
}

/// Returns the derived port at a site, if it is one of this node.
fn derived(site: &PortSite) -> Option<&DerivedTable> {
    match site {
        PortSite::Here(provider) => provider.downcast_ref::<DerivedTable>(),
        PortSite::Site { .. } => None,
    }
}

/// True if a plan contains a part of the query of a derived port.
pub(crate) fn reads_for_query(plan: &LogicalPlan) -> bool {
    let mut found = false;
    // The visit itself never fails.
    let _ = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            found |= PortTable::with_scanned(scan, |port| port.is_of_query) == Some(true);
        }
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    found
}

impl fmt::Debug for PortTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PortTable({})", self.name)
    }
}

#[async_trait]
impl TableProvider for PortTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn get_logical_plan(&self) -> Option<Cow<'_, LogicalPlan>> {
        self.query.as_ref().map(Cow::Borrowed)
    }

    fn statistics(&self) -> Option<Statistics> {
        let mut statistics = Statistics::new_unknown(&self.schema);
        statistics.num_rows = Precision::Inexact(usize::try_from(self.statistics.rows?).ok()?);
        Some(statistics)
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match &self.site {
            PortSite::Here(provider) => provider.scan(state, projection, filters, limit).await,
            PortSite::Site { site, .. } => not_cut(&self.name, site),
        }
    }

    async fn scan_with_args<'a>(&self, state: &dyn Session, args: ScanArgs<'a>) -> Result<ScanResult> {
        match &self.site {
            PortSite::Here(provider) => provider.scan_with_args(state, args).await,
            PortSite::Site { site, .. } => not_cut(&self.name, site),
        }
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        match &self.site {
            PortSite::Here(provider) => provider.supports_filters_pushdown(filters),
            // Filters stay operators of their own: the planner places them, not the scan.
            PortSite::Site { .. } => Ok(vec![TableProviderFilterPushDown::Unsupported; filters.len()]),
        }
    }
}

fn not_cut<T>(port: &PortRef, site: &SiteId) -> Result<T> {
    internal_err!("the scan of {port} at {site} was not cut into a fragment")
}
