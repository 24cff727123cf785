//! The gateway that a user can build from crates: DataFusion with the rules of `datafusion-federation`, and a Flight
//! SQL executor for each owner, which no published crate provides.

use std::sync::Arc;

use anyhow::{Context, Result};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use clap::ValueEnum;
use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider, MemorySchemaProvider};
use datafusion::common::TableReference;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::optimizer::Optimizer;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{PhysicalExpr, SendableRecordBatchStream};
use datafusion::prelude::SessionContext;
use datafusion::sql::unparser::dialect::{DefaultDialect, Dialect};
use datafusion_federation::sql::{RemoteTableRef, SQLExecutor, SQLFederationProvider, SQLTableSource};
use datafusion_federation::{
    FederatedQueryPlanner, FederatedTableProviderAdaptor, FederationOptimizerRule, default_optimizer_rules,
};
use futures::TryStreamExt;
use futures::stream::{self, StreamExt};

use crate::flight::FlightClient;
use crate::tpch::TABLES;

/// The place of the rule that separates each owner's part, among DataFusion's rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RulePlace {
    /// The default of `datafusion-federation`: before filters and columns are pushed down
    Default,
    /// After all of DataFusion's rules
    Last,
}

/// Returns a session that knows every table by the name of its port. `owners` are domains and the addresses of their
/// nodes.
pub async fn gateway(owners: &[(&str, String)], rule: RulePlace, memory: usize) -> Result<SessionContext> {
    let rules = match rule {
        RulePlace::Default => default_optimizer_rules(),
        RulePlace::Last => {
            let mut rules = Optimizer::new().rules;
            rules.push(Arc::new(FederationOptimizerRule::new()));
            rules
        }
    };
    let state = SessionStateBuilder::new()
        .with_optimizer_rules(rules)
        .with_query_planner(Arc::new(FederatedQueryPlanner::new()))
        .with_runtime_env(RuntimeEnvBuilder::new().with_memory_limit(memory, 1.0).build_arc()?)
        .with_default_features()
        .build();
    let context = SessionContext::new_with_state(state);
    for (domain, address) in owners {
        let executor = FlightExecutor { address: address.clone(), client: FlightClient::connect(address).await? };
        let provider = Arc::new(SQLFederationProvider::new(Arc::new(executor)));
        let catalog = Arc::new(MemoryCatalogProvider::new());
        context.register_catalog(*domain, catalog.clone());
        for (_, product, port) in TABLES.iter().filter(|table| table.0 == *domain) {
            if catalog.schema(product).is_none() {
                catalog.register_schema(product, Arc::new(MemorySchemaProvider::new()))?;
            }
            let name = TableReference::full(*domain, *product, *port);
            let source = SQLTableSource::new(provider.clone(), RemoteTableRef::from(name.clone())).await;
            let source = source.with_context(|| format!("cannot register {name}"))?;
            context.register_table(name, Arc::new(FederatedTableProviderAdaptor::new(Arc::new(source))))?;
        }
    }
    Ok(context)
}

/// An executor that sends an owner its part of a query as SQL.
struct FlightExecutor {
    address: String,
    client: FlightClient,
}

#[async_trait]
impl SQLExecutor for FlightExecutor {
    fn name(&self) -> &str {
        "flight_sql"
    }

    fn compute_context(&self) -> Option<String> {
        Some(self.address.clone())
    }

    fn dialect(&self) -> Arc<dyn Dialect> {
        Arc::new(DefaultDialect {})
    }

    fn execute(
        &self,
        query: &str,
        schema: SchemaRef,
        _filters: &[Arc<dyn PhysicalExpr>],
    ) -> DataFusionResult<SendableRecordBatchStream> {
        let rows = rows(self.client.clone(), query.to_owned());
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream::once(rows).try_flatten())))
    }

    async fn table_names(&self) -> DataFusionResult<Vec<String>> {
        Err(DataFusionError::NotImplemented("tables are registered by name".into()))
    }

    async fn get_table_schema(&self, table_name: &str) -> DataFusionResult<SchemaRef> {
        let info = self.client.plan(&format!("SELECT * FROM {table_name}")).await.map_err(external)?;
        Ok(Arc::new(info.try_decode_schema()?))
    }
}

/// Requests a plan of the query from the owner, and then returns the rows.
async fn rows(client: FlightClient, query: String) -> DataFusionResult<SendableRecordBatchStream> {
    let info = client.plan(&query).await.map_err(external)?;
    let schema: SchemaRef = Arc::new(info.clone().try_decode_schema()?);
    let streams = client.streams(info).await.map_err(external)?;
    let batches = stream::select_all(streams).map(|batch| batch.map_err(external));
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
}

fn external(error: arrow_flight::error::FlightError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
