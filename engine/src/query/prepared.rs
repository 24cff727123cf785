//! A statement that was parsed and planned, and the values of its parameters.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::ParamValues;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Cast, Expr, LogicalPlan, TryCast};
use datafusion::scalar::ScalarValue;

use super::settings::{reset, set, show, show_schema};
use super::{Entry, Query, QueryStream, session_state};
use crate::bounds::{check_plan, check_types};
use crate::execution::conform::lossless;
use crate::execution::errors::from_datafusion;
use crate::mesh::MeshView;
use crate::names::SessionNames;
use crate::planner::analyse_statement;
use crate::planner::resolve::change::Change;
use crate::planner::resolve::{Assignment, Resolved, resolve};
use crate::state::SessionHandle;
use crate::{Error, ErrorKind, Result, explain};

/// What a statement does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatementKind {
    /// It gives rows: `SELECT`, `EXPLAIN`, `SHOW`.
    Query,
    /// It changes a setting of the session and gives no rows: `SET`.
    Setting,
    /// It changes tables or stops something, and gives a number of rows: `CREATE TABLE`, `DROP TABLE`, `INSERT`,
    /// `UPDATE`, `DELETE`, `CALL`.
    Change,
}

/// A statement that was parsed and planned: it can run any number of times, and follows the mesh as that changes.
#[derive(Clone, Debug)]
pub struct Prepared {
    pub(super) session: SessionHandle,
    pub(super) sql: String,
    pub(super) view: Arc<MeshView>,
    pub(super) names: Arc<SessionNames>,
    /// It may be deep: it is copied on the threads whose stacks hold that.
    resolved: Arc<Resolved>,
    schema: SchemaRef,
    parameters: SchemaRef,
}

impl Prepared {
    pub(crate) async fn new(session: &SessionHandle, sql: &str) -> Result<Self> {
        session.require_open()?;
        let session = session.clone();
        let sql = sql.to_owned();
        let cpu = session.engine.clone();
        cpu.cpu
            .run(async move {
                let view = session.engine.mesh.view();
                let names = Arc::new(SessionNames::of(&session));
                let state = session_state(&session.engine, &view, Some(names.clone()));
                // It is large, and would be moved about on the caller's stack.
                let resolved = Box::pin(resolve(&sql, &state, &view.snapshot, &names)).await?;
                let plan = match &resolved {
                    Resolved::Query(plan, _) | Resolved::Explain { query: plan, .. } => Some(plan),
                    Resolved::Change(change) => change.rows(),
                    Resolved::Set(_) | Resolved::Show { .. } => None,
                };
                if let Some(plan) = plan {
                    check_plan(plan)?;
                }
                if let Resolved::Change(Change::Create { content, .. }) = &resolved {
                    check_types(content.columns())?;
                }
                let parameters = plan.map_or_else(|| Ok(Arc::new(Schema::empty())), parameters)?;
                // The types of a plan are not known before its parameters have values: it is analysed then.
                let resolved = match parameters.fields().is_empty() {
                    true => analysed(resolved, &state)?,
                    false => resolved,
                };
                let schema = promised(&resolved);
                Ok(Self { session, sql, view, names, resolved: Arc::new(resolved), schema, parameters })
            })
            .await
    }

    /// Its text.
    pub fn text(&self) -> &str {
        &self.sql
    }

    /// What it does.
    pub fn kind(&self) -> StatementKind {
        match *self.resolved {
            Resolved::Set(_) => StatementKind::Setting,
            Resolved::Change(_) => StatementKind::Change,
            _ => StatementKind::Query,
        }
    }

    /// Whether it leaves something in the session, so that it means nothing in one that ends with it.
    pub fn changes_session(&self) -> bool {
        match self.resolved.as_ref() {
            Resolved::Set(_) => true,
            Resolved::Change(change) => change.is_of_session(),
            _ => false,
        }
    }

    /// Whether its rows come in an order that the statement asks for.
    pub fn is_ordered(&self) -> bool {
        let mut plan = match self.resolved.as_ref() {
            Resolved::Query(plan, _) => plan,
            _ => return true,
        };
        loop {
            plan = match plan {
                LogicalPlan::Sort(_) => return true,
                LogicalPlan::Projection(p) => &p.input,
                LogicalPlan::Limit(l) => &l.input,
                LogicalPlan::SubqueryAlias(a) => &a.input,
                _ => return false,
            }
        }
    }

    /// The columns that it gives; without columns for a [`StatementKind::Setting`], and `count` for a
    /// [`StatementKind::Change`].
    ///
    /// A column whose type only a parameter tells has type `Null` until that parameter is bound: the stream that
    /// [`Prepared::execute`] gives has the final columns.
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// The columns that it gives with these values for its parameters.
    ///
    /// # Errors
    /// `InvalidQuery` where the values do not fit the parameters.
    pub async fn schema_with(&self, parameters: &[ScalarValue]) -> Result<SchemaRef> {
        if parameters.is_empty() {
            return Ok(self.schema());
        }
        let (this, parameters) = (self.clone(), parameters.to_vec());
        self.on_cpu(async move {
            match this.resolved.as_ref() {
                Resolved::Query(plan, labels) => {
                    Ok(labels.named(nullable(this.bind(plan.clone(), &parameters)?.schema().as_arrow())))
                }
                _ => Ok(this.schema()),
            }
        })
        .await
    }

    /// Its parameters in order, named `$1`, `$2`, …; type `Null` where nothing tells the type. All nullable.
    pub fn parameters(&self) -> SchemaRef {
        self.parameters.clone()
    }

    /// Runs it with one value for each parameter.
    ///
    /// # Errors
    /// `InvalidQuery` where the values do not fit the parameters; whatever planning and starting can give.
    pub async fn execute(&self, parameters: &[ScalarValue]) -> Result<QueryStream> {
        self.enter(parameters, Entry::InLine).await
    }

    /// As [`Prepared::execute`], for rows that nobody has asked for yet: it does not wait in line for a place, and leaves
    /// about half of them to others.
    ///
    /// # Errors
    /// As [`Prepared::execute`]; `ResourceExhausted` where there is no place for it.
    pub async fn execute_ahead(&self, parameters: &[ScalarValue]) -> Result<QueryStream> {
        self.enter(parameters, Entry::Speculative).await
    }

    async fn enter(&self, parameters: &[ScalarValue], entry: Entry) -> Result<QueryStream> {
        let (this, parameters) = (self.clone(), parameters.to_vec());
        self.on_cpu(Box::pin(async move { Box::pin(this.current().await?.run(&parameters, entry)).await })).await
    }

    /// Whether its names still mean what they meant when it was planned.
    pub fn is_current(&self) -> bool {
        Arc::ptr_eq(&self.session.engine.mesh.view(), &self.view) && self.names.same(&SessionNames::of(&self.session))
    }

    /// The statement as it means what its names mean now: planned again where the mesh or the session's tables changed.
    ///
    /// # Errors
    /// As [`Session::prepare`](crate::Session::prepare).
    pub async fn refreshed(&self) -> Result<Self> {
        Ok(self.current().await?.into_owned())
    }

    /// Itself, planned again where names may mean something else by now.
    pub(super) async fn current(&self) -> Result<Cow<'_, Self>> {
        self.session.require_open()?;
        if self.is_current() {
            return Ok(Cow::Borrowed(self));
        }
        Ok(Cow::Owned(Box::pin(Self::new(&self.session, &self.sql)).await?))
    }

    /// What it changes.
    pub(super) fn change(&self) -> Option<&Change> {
        match self.resolved.as_ref() {
            Resolved::Change(change) => Some(change),
            _ => None,
        }
    }

    /// On the threads that drive plans, as all that plans below.
    async fn run(&self, parameters: &[ScalarValue], entry: Entry) -> Result<QueryStream> {
        let settings = self.session.settings();
        match self.resolved.as_ref().clone() {
            Resolved::Set(assignments) => {
                for Assignment { name, value } in &assignments {
                    match value {
                        Some(value) => set(&self.session, name, value)?,
                        None => reset(&self.session, name)?,
                    }
                }
                Ok(QueryStream::fixed(self.schema.clone(), vec![]))
            }
            Resolved::Show { name } => show(&settings, &name),
            Resolved::Query(plan, labels) => {
                let plan = self.bind(plan, parameters)?;
                let schema = labels.named(nullable(plan.schema().as_arrow()));
                self.start_as(plan, schema, entry).await
            }
            Resolved::Change(change) => {
                let count = self.apply_once(&change, parameters).await?;
                QueryStream::counted(self.schema.clone(), count)
            }
            Resolved::Explain { query: plan, options } => {
                let plan = self.bind(plan, parameters)?;
                let query = Query { entry, ..self.query(options.analyze) };
                let rows = Box::pin(query.explain(&plan, options)).await?;
                Ok(QueryStream::fixed(explain::schema(), vec![explain::batch(rows)?]))
            }
        }
    }

    /// A run of it; `measured` where owners are to tell what each of their operators did.
    fn query(&self, measured: bool) -> Query {
        Query::of_session(&self.session, &self.sql, self.view.clone(), self.names.clone(), measured)
    }

    /// Runs an analysed plan of this statement.
    pub(super) async fn start(&self, plan: LogicalPlan) -> Result<QueryStream> {
        let schema = nullable(plan.schema().as_arrow());
        self.start_as(plan, schema, Entry::InLine).await
    }

    /// As [`Prepared::start`], for rows of these columns.
    async fn start_as(&self, plan: LogicalPlan, schema: SchemaRef, entry: Entry) -> Result<QueryStream> {
        let query = Query { entry, ..self.query(false) };
        Box::pin(query.start(&plan, schema)).await
    }

    pub(super) async fn on_cpu<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.session.engine.cpu.run(work).await
    }

    /// Returns the plan with values for its parameters, analysed.
    pub(super) fn bind(&self, plan: LogicalPlan, values: &[ScalarValue]) -> Result<LogicalPlan> {
        let fields = self.parameters.fields();
        if values.len() != fields.len() {
            return Err(Error::new(
                ErrorKind::InvalidQuery,
                format!("the statement has {} parameters and {} values were given", fields.len(), values.len()),
            ));
        }
        if values.is_empty() {
            return Ok(plan);
        }
        let fit = |(value, field): (&ScalarValue, &Arc<Field>)| {
            if value.is_null() {
                return ScalarValue::try_from(field.data_type()).map_err(|e| from_datafusion(&e));
            }
            if field.data_type().is_null() || *field.data_type() == value.data_type() {
                return Ok(value.clone());
            }
            let wrong = || {
                let what = format!("the value of {} is no {}", field.name(), field.data_type());
                Error::new(ErrorKind::InvalidQuery, what)
            };
            let array = value.to_array().map_err(|e| wrong().with_source(e))?;
            let cast = lossless(&array, field.data_type()).map_err(|e| match e {
                Some(e) => wrong().with_source(e),
                None => wrong(),
            })?;
            ScalarValue::try_from_array(&cast, 0).map_err(|e| wrong().with_source(e))
        };
        let values = values.iter().zip(fields).map(fit).collect::<Result<Vec<_>>>()?;
        let plan = plan.with_param_values(ParamValues::from(values)).map_err(|e| from_datafusion(&e))?;
        self.analyse(plan)
    }

    /// Gives every expression of a plan its type.
    pub(super) fn analyse(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        analyse_statement(&session_state(&self.session.engine, &self.view, Some(self.names.clone())), plan)
    }
}

/// Returns the statement with its plan analysed.
fn analysed(resolved: Resolved, state: &SessionState) -> Result<Resolved> {
    Ok(match resolved {
        Resolved::Query(plan, labels) => Resolved::Query(analyse_statement(state, plan)?, labels),
        Resolved::Explain { query, options } => Resolved::Explain { query: analyse_statement(state, query)?, options },
        Resolved::Change(change) => Resolved::Change(change.map_rows(|plan| analyse_statement(state, plan))?),
        other => other,
    })
}

/// The columns that a statement promises: all nullable, since what is known of NULLs differs between a plan and its
/// execution, and clients compare.
fn promised(resolved: &Resolved) -> SchemaRef {
    match resolved {
        Resolved::Query(plan, labels) => labels.named(nullable(plan.schema().as_arrow())),
        Resolved::Explain { .. } => explain::schema(),
        Resolved::Set(_) => Arc::new(Schema::empty()),
        Resolved::Change(_) => Arc::new(Schema::new(vec![Field::new("count", DataType::UInt64, true)])),
        Resolved::Show { .. } => show_schema(),
    }
}

pub(super) fn nullable(schema: &Schema) -> SchemaRef {
    let fields: Vec<_> = schema.fields().iter().map(|f| Field::new(f.name(), f.data_type().clone(), true)).collect();
    Arc::new(Schema::new(fields))
}

/// The parameters, `$1` first.
fn parameters(plan: &LogicalPlan) -> Result<SchemaRef> {
    let found = plan.get_parameter_types().map_err(|e| from_datafusion(&e))?;
    let mut told = told_types(plan).map_err(|e| from_datafusion(&e))?;
    let mut numbered = vec![];
    for (name, data_type) in found {
        let number: usize = name.trim_start_matches('$').parse().ok().filter(|n| *n > 0).ok_or_else(|| {
            Error::new(ErrorKind::InvalidQuery, format!("a parameter is `$1`, `$2`, …, not `{name}`"))
        })?;
        numbered.push((number, data_type.or_else(|| told.remove(&name)).unwrap_or(DataType::Null)));
    }
    numbered.sort_by_key(|(number, _)| *number);
    if let Some((i, (number, _))) = numbered.iter().enumerate().find(|(i, (number, _))| *number != i + 1) {
        return Err(Error::new(
            ErrorKind::InvalidQuery,
            format!("the statement has a parameter ${number} and no ${}", i + 1),
        ));
    }
    let fields: Vec<_> = numbered.into_iter().map(|(n, t)| Field::new(format!("${n}"), t, true)).collect();
    Ok(Arc::new(Schema::new(fields)))
}

/// The types of parameters that the plan does not say itself: of those that are cast, and of bounds on rows.
fn told_types(plan: &LogicalPlan) -> datafusion::error::Result<HashMap<String, DataType>> {
    let mut told = HashMap::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Limit(limit) = node {
            for bound in [&limit.skip, &limit.fetch].into_iter().flatten() {
                bound.apply(|e| {
                    if let Expr::Placeholder(parameter) = e {
                        told.insert(parameter.id.clone(), DataType::Int64);
                    }
                    Ok(TreeNodeRecursion::Continue)
                })?;
            }
        }
        node.apply_expressions(|e| {
            e.apply(|e| {
                if let Expr::Cast(Cast { expr, field }) | Expr::TryCast(TryCast { expr, field }) = e
                    && let Expr::Placeholder(parameter) = expr.as_ref()
                {
                    told.entry(parameter.id.clone()).or_insert_with(|| field.data_type().clone());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(told)
}
