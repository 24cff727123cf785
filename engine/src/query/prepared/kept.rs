//! Statements that the engine keeps before the passes: a repeated text is neither parsed nor resolved again.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::scalar::ScalarValue;

use super::{Prepared, nullable};
use crate::Settings;
use crate::mesh::MeshView;
use crate::names::SessionNames;
use crate::planner::resolve::Resolved;
use crate::query::casts::Casts;
use crate::query::reuse::{Reuse, is_repeatable, plan_bytes};
use crate::query::visible_ports::known_view;
use crate::state::{PlanKey, SessionHandle, caller_here};

/// A query before the passes, without the session that has prepared it.
struct KeptStatement {
    number: u64,
    resolved: Arc<Resolved>,
    schema: SchemaRef,
    parameters: SchemaRef,
    casts: Casts,
}

impl Prepared {
    /// Returns the statement, if the engine keeps it with this text and the same meaning of its names.
    pub(super) fn known(session: &SessionHandle, sql: &str) -> Option<Self> {
        Self::known_in(session, sql, &known_view(session)?, &Arc::new(SessionNames::of(session)))
    }

    /// As [`Self::known`], in this view of the mesh and with these names.
    pub(super) fn known_in(
        session: &SessionHandle,
        sql: &str,
        view: &Arc<MeshView>,
        names: &Arc<SessionNames>,
    ) -> Option<Self> {
        let kept: Arc<KeptStatement> = session.engine.plans.find(view.version, &key(names, view, sql)?)?;
        Some(Self {
            session: session.clone(),
            sql: sql.to_owned(),
            view: view.clone(),
            names: names.clone(),
            resolved: kept.resolved.clone(),
            schema: kept.schema.clone(),
            parameters: kept.parameters.clone(),
            casts: kept.casts.clone(),
            number: Some(kept.number),
            deadline: None,
            relay: None,
        })
    }

    /// Lets the engine keep the statement, if it is a query that means the same in each run.
    pub(super) fn kept(mut self) -> Self {
        if let Resolved::Query(plan, _) = self.resolved.as_ref()
            && let Some(key) = key(&self.names, &self.view, &self.sql)
            && self.names.opened.is_empty()
            && is_repeatable(plan)
        {
            let plans = &self.session.engine.plans;
            let kept = KeptStatement {
                number: plans.next(),
                resolved: self.resolved.clone(),
                schema: self.schema.clone(),
                parameters: self.parameters.clone(),
                casts: self.casts.clone(),
            };
            let number = kept.number;
            if plans.keep(self.view.version, key, Arc::new(kept), plan_bytes(plan)) {
                self.number = Some(number);
            }
        }
        self
    }

    /// Returns the columns of the rows, if the engine keeps the plan for these values.
    pub(super) fn known_schema(&self, values: &[ScalarValue]) -> Option<SchemaRef> {
        let Resolved::Query(_, labels) = self.resolved.as_ref() else { return None };
        let reuse = self.reuse(values, &self.session.settings())?;
        Some(labels.named(nullable(reuse.analysed()?.schema().as_arrow())))
    }

    /// Returns the place of the plan for these values and settings; `None` if the engine does not keep it.
    pub(super) fn reuse(&self, values: &[ScalarValue], settings: &Settings) -> Option<Reuse> {
        let number = self.number?;
        let caller = caller_here(self.session.principal(), settings.purpose.clone());
        Some(Reuse::of(&self.session.engine, self.view.version, number, values, caller, settings))
    }
}

/// Returns the key of a text; `None` if the tables and views of the session may change what its names mean.
fn key(names: &SessionNames, view: &MeshView, sql: &str) -> Option<PlanKey> {
    names.is_empty().then(|| PlanKey::Statement {
        text: sql.to_owned(),
        user: names.client.principal.name().to_owned(),
        catalog: names.catalog.clone(),
        schema: names.schema.clone(),
        hidden: view.hidden.clone(),
    })
}
