//! [`DatabaseSite`]: a database as a site. All its ports share one site, so that a fragment can join them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::Array;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use portolan_catalog::DatabaseKind;

use super::client::DatabaseClient;
use super::database::RunContext;
use super::target::Target;
use crate::capabilities::{Capabilities, SiteCosts};
use crate::error::{Error, ErrorKind, Result};
use crate::fragment::{FragmentEstimate, FragmentItem, FragmentPlan, FragmentRequest, FragmentStream, FragmentSummary};
use crate::poison::lock;
use crate::site::{Site, SiteId};
use crate::sql::SqlQuery;

/// A database that runs fragments in SQL.
#[derive(Debug)]
pub(super) struct DatabaseSite {
    id: SiteId,
    costs: SiteCosts,
    client: Arc<DatabaseClient>,
}

impl DatabaseSite {
    /// Returns the site of a database. `server` is the name of the contract's server.
    pub(super) fn new(server: &str, kind: DatabaseKind, target: &Target, client: Arc<DatabaseClient>) -> Self {
        Self { id: id_of(server, kind, target), costs: costs_of(kind), client }
    }

    pub(super) fn client(&self) -> &Arc<DatabaseClient> {
        &self.client
    }

    fn sql(&self, plan: FragmentPlan) -> Result<SqlQuery> {
        match plan {
            FragmentPlan::Sql(query) => Ok(query),
            FragmentPlan::Encoded(_) => {
                let what = format!("{}: expected a query in SQL, got a plan", self.client.origin().shown);
                Err(Error::new(ErrorKind::Unsupported, what))
            }
        }
    }
}

#[async_trait]
impl Site for DatabaseSite {
    fn id(&self) -> &SiteId {
        &self.id
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::database(self.client.database().dialect()).with_costs(self.costs)
    }

    async fn execute(&self, request: FragmentRequest) -> Result<FragmentStream> {
        let query = self.sql(request.plan)?;
        let context = RunContext { query_id: Some(request.head.query_id), deadline: request.head.deadline };
        Ok(items(self.client.query(query, request.schema, context).await?))
    }

    async fn estimate(&self, request: FragmentRequest) -> Result<FragmentEstimate> {
        self.client.estimate(&self.sql(request.plan)?, request.head.deadline).await
    }
}

/// Returns the items of a fragment with these rows. The summary follows if the rows end without an error.
fn items(rows: BoxStream<'static, Result<RecordBatch>>) -> FragmentStream {
    let state = Some((rows, 0));
    let next = |state: Option<(BoxStream<'static, Result<RecordBatch>>, u64)>| async move {
        let Some((mut rows, count)) = state else { return Ok::<_, Error>(None) };
        Ok(Some(match rows.try_next().await? {
            Some(batch) => {
                let count = count + batch.num_rows() as u64;
                let item = FragmentItem::Batch { wire_bytes: size_of_values(&batch), batch };
                (item, Some((rows, count)))
            }
            None => (FragmentItem::Finished(FragmentSummary { rows: count, ..FragmentSummary::default() }), None),
        }))
    };
    stream::try_unfold(state, next).boxed()
}

/// Returns the bytes of the values. Drivers do not report those on the wire, which are about as many.
fn size_of_values(batch: &RecordBatch) -> usize {
    let size = |column: &dyn Array| column.to_data().get_slice_memory_size();
    batch.columns().iter().map(|column| size(column).unwrap_or_else(|_| column.get_array_memory_size())).sum()
}

/// Returns the costs of work at a database and of the way from there. A database beside the node is assumed.
fn costs_of(kind: DatabaseKind) -> SiteCosts {
    let (latency, bandwidth) = match kind {
        DatabaseKind::Sqlite => (Duration::from_micros(20), 400e6),
        DatabaseKind::Postgres | DatabaseKind::MariaDb | DatabaseKind::MySql => (Duration::from_micros(500), 400e6),
    };
    SiteCosts { work: 1.0, latency: Some(latency), bandwidth: Some(bandwidth) }
}

/// The databases of this process by the names that people see. A view of the mesh may contain ports that were opened
/// before the config or a contract changed, beside those opened since: their databases must not have one identity.
static KNOWN: Mutex<BTreeMap<String, Vec<Target>>> = Mutex::new(BTreeMap::new());

/// Returns the identity of a database: a URL with the name of the server in the contract instead of the host, which not
/// everybody may see.
fn id_of(server: &str, kind: DatabaseKind, target: &Target) -> SiteId {
    let name = match target {
        Target::Server { database, .. } => database.clone(),
        Target::File(path) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
    };
    let escaped = |part: &str| part.replace('%', "%25").replace('/', "%2F").replace('~', "%7E");
    let id = format!("{}://{}/{}", kind.type_name(), escaped(server), escaped(&name));
    let mut known = lock(&KNOWN);
    let targets = known.entry(id.clone()).or_default();
    let position = targets.iter().position(|known| known == target).unwrap_or_else(|| {
        targets.push(target.clone());
        targets.len() - 1
    });
    SiteId::new(if position == 0 { id } else { format!("{id}~{}", position + 1) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn each_database_has_an_identity_without_its_host() {
        let target = |host: &str, database: &str| {
            let (host, database) = (host.to_owned(), database.to_owned());
            Target::Server { host, port: 5432, database }
        };
        let id = |server: &str, kind, target: &Target| id_of(server, kind, target).to_string();
        let (postgres, mysql) = (DatabaseKind::Postgres, DatabaseKind::MySql);
        let first = id("identities", postgres, &target("a", "shop"));
        assert_eq!(first, "postgres://identities/shop");
        assert_eq!(id("identities", postgres, &target("b", "shop")), "postgres://identities/shop~2");
        assert_eq!(id("identities", postgres, &target("a", "shop")), first);
        assert_eq!(id("identities", mysql, &target("a", "shop")), "mysql://identities/shop");
        assert_eq!(id("identities", postgres, &target("a", "a/b~2%")), "postgres://identities/a%2Fb%7E2%25");
        let files =
            ["/x/a.db", "/y/a.db"].map(|path| id("identities", DatabaseKind::Sqlite, &Target::File(path.into())));
        assert_eq!(files, ["sqlite://identities/a.db", "sqlite://identities/a.db~2"]);
    }
}
