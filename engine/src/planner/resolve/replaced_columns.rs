//! Refuses `* REPLACE (expression AS name)` if the `*` has no column of this name. DataFusion ignores the expression then,
//! and returns the rows of another query.

use std::ops::ControlFlow;

use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;
use datafusion::execution::session_state::SessionState;
use datafusion::sql::parser::Statement;
use sqlparser::ast::{
    ExcludeSelectItem, Ident, ObjectName, PipeOperator, Query, ReplaceSelectElement, Select, SelectItem, VisitorMut,
    WildcardAdditionalOptions,
};

use super::unsupported;
use crate::Result;
use crate::execution::errors::from_datafusion;
use crate::visit::visit_mut;

/// The largest number of `* REPLACE` in a statement. For each, the statement is planned once more.
const MOST: usize = 16;

/// Checks the names of all replaced columns.
///
/// # Errors
/// `InvalidQuery` for the first name that is no column; `Unsupported` for more than [`MOST`] such lists.
pub(super) async fn check(statement: &Statement, state: &SessionState) -> Result<()> {
    let Statement::Statement(statement) = statement else { return Ok(()) };
    for number in 0.. {
        let mut probe = statement.as_ref().clone();
        let ControlFlow::Break(names) = visit_mut(&mut probe, &mut LeaveOut { skip: number }) else { break };
        if number == MOST {
            return Err(unsupported("a statement with more than 16 `* REPLACE` is not supported: list the columns"));
        }
        // DataFusion checks the names of columns that are left out.
        match state.statement_to_plan(Statement::Statement(Box::new(probe))).await {
            Err(error) if is_unknown(&error, &names) => return Err(from_datafusion(&error)),
            // The statement itself reports other errors.
            _ => {}
        }
    }
    Ok(())
}

/// True for the error that one of these columns does not exist.
fn is_unknown(error: &DataFusionError, names: &[String]) -> bool {
    match error.find_root() {
        DataFusionError::SchemaError(schema, _) => match schema.as_ref() {
            SchemaError::FieldNotFound { field, .. } => names.contains(&field.name),
            _ => false,
        },
        _ => false,
    }
}

/// Changes the `* REPLACE (expression AS name)` after `skip` others to `* EXCLUDE (name), expression AS name`. Returns the
/// names.
struct LeaveOut {
    skip: usize,
}

impl LeaveOut {
    fn change(&mut self, list: &mut Vec<SelectItem>) -> ControlFlow<Vec<String>> {
        let mut found = None;
        for item in list.iter_mut() {
            let (SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options)) = item else { continue };
            if options.opt_replace.is_none() {
                continue;
            }
            match self.skip.checked_sub(1) {
                Some(skip) => self.skip = skip,
                None => {
                    found = Some(left_out(options));
                    break;
                }
            }
        }
        let Some(replaced) = found else { return ControlFlow::Continue(()) };
        let names = replaced.iter().map(|element| element.column_name.value.clone()).collect();
        list.extend(replaced.into_iter().map(|element| {
            let ReplaceSelectElement { expr, column_name: alias, .. } = element;
            SelectItem::ExprWithAlias { expr, alias }
        }));
        ControlFlow::Break(names)
    }
}

/// Leaves out the replaced columns, and returns their elements.
fn left_out(options: &mut WildcardAdditionalOptions) -> Vec<ReplaceSelectElement> {
    let replaced = options.opt_replace.take().map(|replaced| replaced.items).unwrap_or_default();
    let mut names = match options.opt_exclude.take() {
        None => vec![],
        Some(ExcludeSelectItem::Single(name)) => vec![name],
        Some(ExcludeSelectItem::Multiple(names)) => names,
    };
    let own: Vec<Ident> = replaced.iter().map(|element| element.column_name.clone()).collect();
    names.extend(own.into_iter().map(|name| ObjectName::from(vec![name])));
    options.opt_exclude = Some(ExcludeSelectItem::Multiple(names));
    replaced.into_iter().map(|element| *element).collect()
}

impl VisitorMut for LeaveOut {
    type Break = Vec<String>;

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<Vec<String>> {
        self.change(&mut select.projection)
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<Vec<String>> {
        query.pipe_operators.iter_mut().try_for_each(|operator| match operator {
            PipeOperator::Select { exprs } => self.change(exprs),
            _ => ControlFlow::Continue(()),
        })
    }
}
