//! The expressions of several operators in one list.

use std::collections::HashMap;

use datafusion::common::{Column, TableReference};
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
        let Column { relation, name, .. } = name_of(&expr);
        let expr = match self.has_name(&name, relation.as_ref()) {
            true => expr.unalias().alias(self.free_name()),
            false => expr,
        };
        self.exprs.push(expr);
        self.exprs.len() - 1
    }

    /// Returns a name that no expression of the list has.
    fn free_name(&self) -> String {
        let mut number = self.exprs.len();
        loop {
            let name = format!("{FUSED}{number}");
            if !self.has_name(&name, None) {
                return name;
            }
            number += 1;
        }
    }

    /// True if an expression of the list has this name, in this relation or in none.
    fn has_name(&self, name: &str, relation: Option<&TableReference>) -> bool {
        self.exprs.iter().map(name_of).any(|known| {
            // A name without a relation stands for any relation.
            known.name == name
                && (known.relation.as_ref() == relation || known.relation.is_none() || relation.is_none())
        })
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

#[cfg(test)]
mod tests {
    use datafusion::prelude::lit;

    use super::*;

    #[test]
    fn a_new_name_is_the_name_of_no_other_column() {
        let first = vec![lit(1).alias("__fused_2"), lit(2).alias("x")];
        let list = ExprList::of(vec![first, vec![lit(3).alias("x")]]);
        let names: Vec<String> = list.exprs.iter().map(|expr| name_of(expr).name).collect();
        assert_eq!(names, ["__fused_2", "x", "__fused_3"]);
    }
}
