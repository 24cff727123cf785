//! The error for an alias of the SELECT list at a place where SQL does not read aliases, such as WHERE.

use std::ops::ControlFlow;

use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;
use datafusion::sql::parser::Statement;
use sqlparser::ast::{Select, SelectItem, Visitor};

use crate::execution::errors::position_of;
use crate::upstream::identifiers::normal;
use crate::visit::visit;
use crate::{Error, ErrorKind};

/// The aliases of the SELECT lists of a statement.
pub(super) struct Aliases(Vec<String>);

impl Aliases {
    pub(super) fn of(statement: &Statement) -> Self {
        let mut aliases = Self(vec![]);
        if let Statement::Statement(statement) = statement {
            let _ = visit(statement.as_ref(), &mut aliases);
        }
        aliases
    }

    /// Returns the error for a column that does not exist, if its name is an alias; `None` for other errors.
    pub(super) fn misplaced(&self, error: &DataFusionError) -> Option<Error> {
        let DataFusionError::SchemaError(schema, _) = error.find_root() else { return None };
        let SchemaError::FieldNotFound { field, .. } = schema.as_ref() else { return None };
        if field.relation.is_some() || !self.0.contains(&field.name) {
            return None;
        }
        let what = format!(
            "there is no column `{}`: it is an alias of a SELECT list, which WHERE, ON and the list itself cannot read; repeat \
             its expression, or write the SELECT as a subquery in FROM",
            field.name
        );
        let error_of_alias = Error::new(ErrorKind::InvalidQuery, what);
        Some(match position_of(error) {
            Some(position) => error_of_alias.at(position),
            None => error_of_alias,
        })
    }
}

impl Visitor for Aliases {
    type Break = ();

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        for item in &select.projection {
            if let SelectItem::ExprWithAlias { alias, .. } = item {
                self.0.push(normal(alias));
            }
        }
        ControlFlow::Continue(())
    }
}
