//! Errors about the names that a SELECT list gives: an alias at a place where SQL does not read aliases, such as WHERE, and
//! two columns of one name in a subquery.

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
        Some(Error::new(ErrorKind::InvalidQuery, what).at(position_of(error)))
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

/// Parts of DataFusion's errors for two expressions with the same name, which may be written differently.
const ONE_NAME: [&str; 2] = ["require unique expression names", "would be ambiguous"];

/// True if an error says that two columns have one name.
pub(super) fn have_one_name(error: &Error) -> bool {
    ONE_NAME.iter().any(|said| error.context().contains(said))
}

/// Returns the error of two columns with one name in our words, and any other error as it is.
pub(super) fn of_one_name(error: Error) -> Error {
    if !have_one_name(&error) {
        return error;
    }
    let name = name_of_both(error.context()).map(|name| format!(" `{name}`")).unwrap_or_default();
    let what = format!("two columns of a subquery have the same name{name}: give each of them its own name with AS");
    Error::new(error.kind(), what)
}

/// Returns the name that two columns have; `None` if it is an expression.
fn name_of_both(said: &str) -> Option<&str> {
    let expr = match said.split_once("unqualified field name ") {
        Some((_, rest)) => rest.split(' ').next()?,
        None => said.split('"').nth(1)?,
    };
    let name = expr.rsplit(" AS ").next()?.rsplit('.').next()?;
    name.chars().all(|c| c.is_alphanumeric() || c == '_').then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_columns_of_one_name_are_named() {
        for (said, expected) in [
            (
                r#"projections require unique expression names but the expression "t.a AS b" at position 0"#,
                "two columns of a subquery have the same name `b`: give each of them its own name with AS",
            ),
            (
                "schema contains qualified field name x.t.a and unqualified field name a which would be ambiguous",
                "two columns of a subquery have the same name `a`: give each of them its own name with AS",
            ),
            (
                r#"projections require unique expression names but the expression "count(Int64(1))" at position 0"#,
                "two columns of a subquery have the same name: give each of them its own name with AS",
            ),
            ("there is no port `a`", "there is no port `a`"),
        ] {
            assert_eq!(of_one_name(Error::new(ErrorKind::InvalidQuery, said)).context(), expected);
        }
    }
}
