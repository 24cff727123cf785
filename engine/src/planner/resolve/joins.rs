//! Rejects joins without a condition, for which DataFusion plans every pair of rows, and kinds of joins that have other
//! names here.

use std::ops::ControlFlow;

use sqlparser::ast::{Join, JoinConstraint, JoinOperator, Spanned, TableFactor, TableWithJoins};

use super::ignored_clauses::refuse;
use crate::execution::errors::start_of;
use crate::{Error, ErrorKind};

/// Rejects the first such join.
pub(super) fn check(table: &TableWithJoins) -> ControlFlow<Error> {
    table.joins.iter().try_for_each(checked)
}

fn checked(join: &Join) -> ControlFlow<Error> {
    let constraint = match &join.join_operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint)
        | JoinOperator::LeftSemi(constraint)
        | JoinOperator::RightSemi(constraint)
        | JoinOperator::LeftAnti(constraint)
        | JoinOperator::RightAnti(constraint) => constraint,
        JoinOperator::CrossJoin(_) => return ControlFlow::Continue(()),
        JoinOperator::Semi(_) => return refuse("SEMI JOIN", "write LEFT SEMI JOIN"),
        JoinOperator::Anti(_) => return refuse("ANTI JOIN", "write LEFT ANTI JOIN"),
        JoinOperator::CrossApply => return refuse("CROSS APPLY", "write CROSS JOIN LATERAL (…)"),
        JoinOperator::OuterApply => return refuse("OUTER APPLY", "write LEFT JOIN LATERAL (…) ON true"),
        JoinOperator::StraightJoin(_) => return refuse("STRAIGHT_JOIN", "write JOIN"),
        JoinOperator::AsOf { .. } => {
            let instead =
                "join with ON left.at >= right.at, and keep the latest row with QUALIFY row_number() OVER (…) = 1";
            return refuse("ASOF JOIN", instead);
        }
        JoinOperator::ArrayJoin | JoinOperator::LeftArrayJoin | JoinOperator::InnerArrayJoin => {
            return refuse("ARRAY JOIN", "write CROSS JOIN UNNEST(…)");
        }
    };
    // These relations read the tables before them, so that not every pair of rows is meant.
    let reads_others = matches!(
        &join.relation,
        TableFactor::Derived { lateral: true, .. } | TableFactor::Function { .. } | TableFactor::UNNEST { .. }
    );
    if *constraint != JoinConstraint::None || reads_others {
        return ControlFlow::Continue(());
    }
    let what = "a JOIN needs a condition: write ON or USING after the table, or CROSS JOIN for all pairs of rows";
    ControlFlow::Break(Error::new(ErrorKind::InvalidQuery, what).at(start_of(join.relation.span())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::parse;
    use crate::ErrorKind;

    #[test]
    fn a_join_without_a_condition_is_refused() {
        for join in ["JOIN", "INNER JOIN", "LEFT JOIN", "RIGHT OUTER JOIN", "FULL JOIN"] {
            let error = parse(&format!("SELECT *\nFROM a {join} b WHERE a.x = b.x")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidQuery, "{join}");
            let column = "FROM a ".len() + join.len() + 2;
            let expected = format!(
                "a JOIN needs a condition: write ON or USING after the table, or CROSS JOIN for all pairs of rows (line 2, \
                 column {column})"
            );
            assert_eq!(error.context(), expected);
        }
        parse("SELECT * FROM (a JOIN b)").unwrap_err();
        parse("SELECT * FROM t WHERE x IN (SELECT y FROM a JOIN b)").unwrap_err();
        for sql in [
            "SELECT * FROM a JOIN b ON true",
            "SELECT * FROM a JOIN b USING (x)",
            "SELECT * FROM a NATURAL JOIN b",
            "SELECT * FROM a CROSS JOIN b, c",
            "SELECT * FROM a JOIN b ON a.x = b.x JOIN c ON b.y = c.y",
            "SELECT * FROM a JOIN LATERAL (SELECT a.x) b",
            "SELECT * FROM a JOIN UNNEST(a.x) AS b(x)",
        ] {
            parse(sql).unwrap();
        }
    }

    #[test]
    fn kinds_of_joins_have_their_names() {
        for (sql, expected) in [
            (
                "SELECT * FROM a SEMI JOIN b ON a.x = b.x",
                "`SEMI JOIN` is not supported in a statement: write LEFT SEMI JOIN",
            ),
            (
                "SELECT * FROM a ANTI JOIN b ON a.x = b.x",
                "`ANTI JOIN` is not supported in a statement: write LEFT ANTI JOIN",
            ),
            (
                "SELECT * FROM a CROSS APPLY (SELECT 1) b",
                "`CROSS APPLY` is not supported in a statement: write CROSS JOIN LATERAL (…)",
            ),
            (
                "SELECT * FROM a OUTER APPLY (SELECT 1) b",
                "`OUTER APPLY` is not supported in a statement: write LEFT JOIN LATERAL (…) ON true",
            ),
        ] {
            let error = parse(sql).unwrap_err();
            assert_eq!((error.kind(), error.context()), (ErrorKind::Unsupported, expected), "{sql}");
        }
        parse("SELECT * FROM a LEFT SEMI JOIN b ON a.x = b.x").unwrap();
    }
}
