//! The expressions of several operators in one list.

use std::collections::HashMap;

use datafusion::common::Column;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr_rewriter::replace_col;

use super::Compensation;

/// The prefix of the columns that have the name of another column in one of the plans.
const FUSED: &str = "__fused_";

/// The expressions of several operators in one list, each of them once.
pub(super) struct ExprList {
    pub(super) exprs: Vec<Expr>,
    /// For each operator, the indices of its expressions in the list.
    of_operators: Vec<Vec<usize>>,
}

impl ExprList {
    pub(super) fn of(of_operators: Vec<Vec<Expr>>) -> Self {
        let mut list = Self { exprs: vec![], of_operators: vec![] };
        for exprs in of_operators {
            let indices = exprs.into_iter().map(|expr| list.add(expr)).collect();
            list.of_operators.push(indices);
        }
        list
    }

    /// Adds an expression if the list does not have it, and returns its index. An expression with the name of another one gets
    /// a name of its own.
    fn add(&mut self, expr: Expr) -> usize {
        // Equal expressions with other names stay apart: two columns of one plan must not become one.
        if let Some(index) = self.exprs.iter().position(|known| *known == expr) {
            return index;
        }
        let index = self.exprs.len();
        let Column { relation, name, .. } = name_of(&expr);
        let has_namesake = self.exprs.iter().map(name_of).any(|known| {
            // A name without a relation stands for any relation.
            known.name == name && (known.relation == relation || known.relation.is_none() || relation.is_none())
        });
        self.exprs.push(if has_namesake { expr.unalias().alias(format!("{FUSED}{index}")) } else { expr });
        index
    }

    /// Adds an expression, and returns its column in the result of the operator.
    pub(super) fn add_column(&mut self, expr: Expr) -> Column {
        let index = self.add(expr);
        name_of(&self.exprs[index])
    }

    /// Returns an expression over the columns of the list in the place of one over the columns below. The list gets the columns
    /// that it lacks.
    pub(super) fn lifted(&mut self, expr: Expr) -> Option<Expr> {
        let mut below: Vec<Column> = expr.column_refs().into_iter().cloned().collect();
        // A set has no order, and the plan should be the same every time.
        below.sort();
        let above: Vec<Column> = below.iter().map(|column| self.add_column(Expr::Column(column.clone()))).collect();
        let lifted: HashMap<&Column, &Column> = below.iter().zip(&above).collect();
        replace_col(expr, &lifted).ok()
    }

    /// Adds the names to each compensation that the `original` expressions of its plan have in the list.
    pub(super) fn rename(&self, compensations: &mut [Compensation], original: &[&[Expr]]) {
        for ((compensation, indices), original) in compensations.iter_mut().zip(&self.of_operators).zip(original) {
            for (index, from) in indices.iter().zip(*original) {
                compensation.rename(name_of(from), name_of(&self.exprs[*index]));
            }
        }
    }
}

/// Returns the column of an expression in the result of its operator.
pub(super) fn name_of(expr: &Expr) -> Column {
    let (relation, name) = expr.qualified_name();
    Column::new(relation, name)
}

pub(super) fn unaliased(mut expr: &Expr) -> &Expr {
    while let Expr::Alias(alias) = expr {
        expr = &alias.expr;
    }
    expr
}
