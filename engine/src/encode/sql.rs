//! A fragment's plan as SQL, for a site that is a database.

use std::borrow::Cow;
use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{LogicalPlan, TableScan};
use portolan_connectors::sql::{self, SqlDialect, SqlTable};
use portolan_connectors::{FragmentPlan, SiteId};

use super::keys;
use crate::names::{PortSite, PortTable};
use crate::{Error, ErrorKind, Result};

/// The largest query, in bytes. A list of keys takes up to a megabyte.
const MAX_SQL_BYTES: usize = 4 << 20;

/// Writes a plan over the ports of a site.
///
/// # Errors
/// `Unsupported`, with the reason in words for EXPLAIN.
pub(super) fn write(plan: &LogicalPlan, site: &SiteId, dialect: &SqlDialect) -> Result<FragmentPlan> {
    let refuse = |reason: String| Error::new(ErrorKind::Unsupported, reason);
    let listed = plan.clone().transform_down_with_subqueries(|operator| {
        Ok(match keys::with_lists(&operator)? {
            Cow::Owned(listed) => Transformed::yes(listed),
            Cow::Borrowed(_) => Transformed::no(operator),
        })
    });
    let plan = listed.map_err(|e| refuse(e.strip_backtrace()))?.data;
    let query = sql::query(&plan, dialect, &|scan| table(scan, site)).map_err(|refusal| refuse(refusal.to_string()))?;
    if query.text.len() > MAX_SQL_BYTES {
        return Err(refuse(format!("its query takes {} bytes and {MAX_SQL_BYTES} may travel", query.text.len())));
    }
    Ok(FragmentPlan::Sql(query))
}

/// Returns a port's table at a site; `None` if the port is not there.
fn table(scan: &TableScan, site: &SiteId) -> Option<Arc<SqlTable>> {
    let provider = source_as_provider(&scan.source).ok()?;
    match &provider.downcast_ref::<PortTable>()?.site {
        PortSite::Site { site: own, table } if own == site => table.clone(),
        _ => None,
    }
}
