//! Rejects the clauses of aggregate and window functions in calls of other functions. DataFusion 55.2 ignores them:
//! `upper(DISTINCT x)`, `upper(x) FILTER (WHERE false)` and `upper(x) OVER ()` would be `upper(x)`.

use datafusion::execution::session_state::SessionState;
use sqlparser::ast::{DuplicateTreatment, Expr, Function, FunctionArgumentClause, FunctionArguments, Statement};

use crate::execution::errors::start_of;
use crate::upstream::identifiers::normal;
use crate::visit::find_expression;
use crate::{Error, ErrorKind, Result};

/// Rejects a statement with such a call.
///
/// # Errors
/// `InvalidQuery`, with the function and the clause.
pub(super) fn check(statement: &Statement, state: &SessionState) -> Result<()> {
    let fault = find_expression(statement, |expr| match expr {
        Expr::Function(function) => refused(function, state),
        _ => None,
    });
    fault.map_or(Ok(()), Err)
}

fn refused(function: &Function, state: &SessionState) -> Option<Error> {
    let clause = clause(function)?;
    let [part] = function.name.0.as_slice() else { return None };
    let ident = part.as_ident()?;
    let name = normal(ident);
    let is_scalar = state.scalar_functions().contains_key(&name)
        || state.higher_order_functions().contains_key(&name)
        || name == "unnest";
    if !is_scalar {
        return None;
    }
    let what = format!("`{name}` is no aggregate function: it takes no {clause}");
    Some(Error::new(ErrorKind::InvalidQuery, what).at(start_of(ident.span)))
}

/// Returns the first clause of a call that only other functions have. DataFusion rejects the clauses that are not here.
fn clause(function: &Function) -> Option<String> {
    if let FunctionArguments::List(list) = &function.args {
        if list.duplicate_treatment == Some(DuplicateTreatment::Distinct) {
            return Some("DISTINCT".to_owned());
        }
        for clause in &list.clauses {
            match clause {
                FunctionArgumentClause::OrderBy(_) => return Some("ORDER BY".to_owned()),
                FunctionArgumentClause::IgnoreOrRespectNulls(nulls) => return Some(nulls.to_string()),
                _ => {}
            }
        }
    }
    if function.filter.is_some() {
        return Some("FILTER".to_owned());
    }
    if function.over.is_some() {
        return Some("OVER".to_owned());
    }
    if !function.within_group.is_empty() {
        return Some("WITHIN GROUP".to_owned());
    }
    function.null_treatment.as_ref().map(ToString::to_string)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use sqlparser::dialect::GenericDialect;
    use sqlparser::parser::Parser;

    use super::*;
    use crate::upstream::state_builder;

    #[test]
    fn clauses_of_aggregates_are_refused_in_other_calls() {
        let state = state_builder().build();
        for (call, clause) in [
            ("upper(DISTINCT a)", "DISTINCT"),
            ("UPPER(a) FILTER (WHERE b)", "FILTER"),
            ("upper(a) OVER (ORDER BY b)", "OVER"),
            ("upper(a ORDER BY b)", "ORDER BY"),
            ("upper(a) IGNORE NULLS", "IGNORE NULLS"),
            ("upper(a IGNORE NULLS)", "IGNORE NULLS"),
            ("upper(a) WITHIN GROUP (ORDER BY b)", "WITHIN GROUP"),
            ("unnest(DISTINCT a)", "DISTINCT"),
            ("sum(upper(DISTINCT a))", "DISTINCT"),
        ] {
            let statement = Parser::parse_sql(&GenericDialect {}, &format!("SELECT {call} FROM t")).unwrap().remove(0);
            let error = check(&statement, &state).unwrap_err();
            let expected = format!("is no aggregate function: it takes no {clause} (line 1, column");
            assert!(error.context().contains(&expected), "{call}: {error}");
        }
        for call in [
            "upper(a)",
            "sum(DISTINCT a) FILTER (WHERE b)",
            "array_agg(a ORDER BY b)",
            "first_value(a IGNORE NULLS) OVER (ORDER BY b)",
            "row_number() OVER (ORDER BY upper(b))",
            "percentile_cont(0.5) WITHIN GROUP (ORDER BY a)",
            "string_agg(DISTINCT a, ',')",
            "\"UPPER\"(DISTINCT a)",
        ] {
            let statement = Parser::parse_sql(&GenericDialect {}, &format!("SELECT {call} FROM t")).unwrap().remove(0);
            check(&statement, &state).unwrap();
        }
    }
}
