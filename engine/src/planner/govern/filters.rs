//! The SQL conditions of policies, checked when the policies are loaded. A condition that is not valid closes its port.

use datafusion::common::DFSchema;
use datafusion::execution::session_state::SessionState;
use portolan_catalog::{Diagnostic, DomainCatalog, PortRef};
use portolan_governance::Policies;

use super::condition::sql_condition;
use super::port_name;
use crate::Result;
use crate::execution::errors::from_datafusion;
use crate::execution::runtime::on_large_stack;

/// Checks the SQL conditions of policies over the columns of their ports. Returns the error of each condition that is
/// not valid, with its port. Ignores ports whose columns are unknown: their policies close them.
pub(crate) fn filter_errors(
    state: &SessionState,
    catalog: &DomainCatalog,
    policies: &Policies,
) -> Vec<(PortRef, Diagnostic)> {
    if policies.row_filters().next().is_none() {
        return vec![];
    }
    // A text may nest deeply.
    let checked = on_large_stack(|| {
        let conditions = policies.row_filters();
        let errors = conditions.filter_map(|(port, place, text)| {
            let error = check(state, catalog, port, text).err()?;
            Some((port.clone(), Diagnostic::new(place.clone(), message(port, error.context()))))
        });
        errors.collect::<Vec<_>>()
    });
    checked.unwrap_or_else(|error| {
        let conditions = policies.row_filters();
        let closed = conditions
            .map(|(port, place, _)| (port.clone(), Diagnostic::new(place.clone(), message(port, error.context()))));
        closed.collect()
    })
}

fn check(state: &SessionState, catalog: &DomainCatalog, port: &PortRef, text: &str) -> Result<()> {
    let Some(schema) = catalog.port(&port.product, &port.port).and_then(|port| port.schema()) else { return Ok(()) };
    let schema = DFSchema::try_from_qualified_schema(port_name(port), &schema).map_err(|e| from_datafusion(&e))?;
    sql_condition(text, &schema, state).map(drop)
}

fn message(port: &PortRef, reason: &str) -> String {
    format!("`@row_filter` is not valid for the port `{port}`: {reason}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use portolan_catalog::Port;
    use portolan_connectors::LocalDomain;
    use portolan_connectors::testing::{catalog, columns, local_domain};
    use portolan_governance::PolicyFiles;

    use crate::{Engine, ErrorKind, Principal};

    fn domain(filter: &str) -> LocalDomain {
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
        let rows = vec![RecordBatch::try_from_iter([("id", ids)]).unwrap()];
        let port = |name: &str| {
            Port::new(portolan_catalog::PortRef::new("sales", "p", name)).with_columns(columns(&rows[0].schema()))
        };
        let policy = format!(
            "permit(principal, action, resource is sales::p::items);\n\n@row_filter(\"{filter}\")\n\
             permit(principal, action == Action::\"read\", resource is sales::p::people);\n"
        );
        let local = local_domain(catalog("sales", [port("items"), port("people")]), |_| rows.clone());
        local.with_policies(PolicyFiles::of_product("p", policy))
    }

    async fn count(engine: &Engine, port: &str) -> crate::Result<usize> {
        let rows = engine.session(Principal::new("ann")).sql(&format!("SELECT id FROM sales.p.{port}")).await?;
        Ok(rows.collect().await?.iter().map(RecordBatch::num_rows).sum())
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_condition_that_is_not_valid_closes_its_port() {
        for (filter, expected) in [("nope = 1", "nope"), ("1 / id > 0", "can fail"), ("id >", "p.cedar:3")] {
            let (policies, report) = Engine::check_policies(&domain(filter));
            let [error] = report.errors.as_slice() else { panic!("{filter}: {:?}", report.errors) };
            let error = error.to_string();
            let start = "p.cedar:3: `@row_filter` is not valid for the port `sales.p.people`: ";
            assert!(error.starts_with(start) && error.contains(expected), "{error}");
            assert_eq!(policies.closed().map(|port| port.port.as_str()).collect::<Vec<_>>(), ["people"]);
            let engine = Engine::builder().cpu_threads(2).local_domain(domain(filter)).build().unwrap();
            let error = count(&engine, "people").await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::SiteUnavailable);
            assert!(error.context().contains("is closed: its policies have errors"), "{error}");
            assert_eq!(count(&engine, "items").await.unwrap(), 3);
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn new_conditions_that_are_not_valid_do_not_replace_good_ones() {
        let (policies, report) = Engine::check_policies(&domain("id > 1"));
        assert_eq!((report.errors.len(), policies.closed().count()), (0, 0));
        let engine = Engine::builder().cpu_threads(2).local_domain(domain("id > 1")).build().unwrap();
        assert_eq!(count(&engine, "people").await.unwrap(), 2);
        engine.replace_local_domain(domain("nope = 1"));
        assert_eq!(count(&engine, "people").await.unwrap(), 2);
        engine.replace_local_domain(domain("id > 2"));
        assert_eq!(count(&engine, "people").await.unwrap(), 1);
    }
}
