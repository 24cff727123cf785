//! The error for a function that does not exist, with what to write instead.

use datafusion::error::DataFusionError;
use datafusion::execution::session_state::SessionState;
use portolan_catalog::nearest::nearest;

use crate::execution::errors::position_of;
use crate::{Error, ErrorKind};

/// Functions of other databases, each with an expression that means the same.
const ELSEWHERE: &[(&str, &str)] = &[
    ("average", "avg(x)"),
    ("charindex", "strpos(text, part)"),
    ("cnt", "count(x)"),
    ("curdate", "current_date"),
    ("datalength", "octet_length(text)"),
    ("dateadd", "d + INTERVAL '1 day'"),
    ("date_add", "d + INTERVAL '1 day'"),
    ("date_sub", "d - INTERVAL '1 day'"),
    ("getdate", "now()"),
    ("getutcdate", "now()"),
    ("iif", "CASE WHEN a THEN b ELSE c END"),
    ("isnull", "coalesce(a, b)"),
    ("locate", "strpos(text, part)"),
    ("maximum", "max(x)"),
    ("minimum", "min(x)"),
    ("newid", "uuid()"),
    ("stdev", "stddev(x)"),
    ("sysdate", "now()"),
    ("to_number", "CAST(x AS DECIMAL(18,2))"),
];

/// Returns the error for a function that does not exist; `None` for other errors.
pub(super) fn unknown(error: &DataFusionError, state: &SessionState) -> Option<Error> {
    let DataFusionError::Plan(message) = error.find_root() else { return None };
    let name = message.strip_prefix("Invalid function '")?.split('\'').next()?;
    let what = format!("there is no function `{name}`");
    let unknown = match ELSEWHERE.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
        Some((_, instead)) => Error::new(ErrorKind::InvalidQuery, format!("{what}: write `{instead}`"))
            .with_suggestion(Some((*instead).to_owned())),
        None => Error::new(ErrorKind::InvalidQuery, what).suggesting(nearest(name, names(state))),
    };
    Some(match position_of(error) {
        Some(position) => unknown.at(position),
        None => unknown,
    })
}

/// Returns the names of all functions.
fn names(state: &SessionState) -> impl Iterator<Item = &str> {
    let scalar = state.scalar_functions().keys().chain(state.higher_order_functions().keys());
    let others = state.aggregate_functions().keys().chain(state.window_functions().keys());
    scalar.chain(others).map(String::as_str)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::ops::ControlFlow;

    use sqlparser::ast::{Expr, FunctionArguments};
    use sqlparser::dialect::GenericDialect;
    use sqlparser::parser::Parser;

    use super::*;
    use crate::upstream::state_builder;
    use crate::visit::visit_expressions;

    fn said(name: &str) -> String {
        let error = DataFusionError::Plan(format!("Invalid function '{name}'.\nDid you mean 'ceil'?"));
        unknown(&error, &state_builder().build()).unwrap().context().to_owned()
    }

    #[test]
    fn a_near_name_or_the_words_of_this_dialect_are_suggested() {
        assert_eq!(said("sunm"), "there is no function `sunm`; did you mean `sum`?");
        assert_eq!(said("GETDATE"), "there is no function `GETDATE`: write `now()`");
        assert_eq!(said("frobnicate"), "there is no function `frobnicate`");
        let other = DataFusionError::Plan("Invalid qualifier x".to_owned());
        assert!(unknown(&other, &state_builder().build()).is_none());
    }

    #[test]
    fn what_is_written_instead_exists_here_and_the_other_name_does_not() {
        let state = state_builder().build();
        for (name, instead) in ELSEWHERE {
            assert!(names(&state).all(|known| known != *name), "`{name}` exists: remove its entry");
            let parser = Parser::new(&GenericDialect {});
            let expr = parser.try_with_sql(instead).and_then(|mut parser| parser.parse_expr()).unwrap();
            let missing = visit_expressions(&expr, |expr| match expr {
                // The planner has an expression for a name without parentheses.
                Expr::Function(function) if function.args != FunctionArguments::None => {
                    let name = function.name.to_string();
                    let exists = names(&state).any(|known| known == name);
                    if exists { ControlFlow::Continue(()) } else { ControlFlow::Break(name) }
                }
                _ => ControlFlow::Continue(()),
            });
            assert_eq!(missing, ControlFlow::Continue(()), "{instead}");
        }
    }
}
