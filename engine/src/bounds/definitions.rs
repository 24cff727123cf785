//! The size of the definitions that take the places of names in a parsed statement. DataFusion puts the expressions of
//! columns into HAVING, QUALIFY, GROUP BY and ORDER BY, and the definitions of windows into the list, before the size of
//! a plan is known.

use std::collections::HashMap;

use sqlparser::ast::{Expr, GroupByExpr, OrderByKind, Query, Select, SelectItem, SetExpr, Value, Visit, WindowType};

use crate::visit::visit_expressions;

/// Returns the number of expressions that take the places of names in a SELECT, without those of its ORDER BY.
pub(super) fn size_in_select(select: &Select) -> u64 {
    let mut total = size_of_windows(select);
    let has_groups = !matches!(&select.group_by, GroupByExpr::Expressions(exprs, _) if exprs.is_empty());
    if select.having.is_none() && select.qualify.is_none() && !has_groups {
        return total;
    }
    let columns = DefinedColumns::of(select);
    for size in [columns.size_in(&select.having), columns.size_in(&select.qualify), columns.size_in(&select.group_by)] {
        total = total.saturating_add(size);
    }
    if let GroupByExpr::Expressions(exprs, _) = &select.group_by {
        total = total.saturating_add(columns.size_at_positions(exprs.iter()));
    }
    total
}

/// Returns the number of expressions that take the places of names in the ORDER BY of a query.
pub(super) fn size_in_order(query: &Query) -> u64 {
    let (SetExpr::Select(select), Some(order_by)) = (query.body.as_ref(), &query.order_by) else { return 0 };
    let OrderByKind::Expressions(order) = &order_by.kind else { return 0 };
    let columns = DefinedColumns::of(select);
    let whole = order.iter().map(|by| &by.expr);
    let named = whole.clone().filter(|expr| matches!(expr, Expr::Identifier(_))).map(|expr| columns.size_in(expr));
    named.fold(columns.size_at_positions(whole), u64::saturating_add)
}

/// The columns of a list, and the sizes of their expressions.
struct DefinedColumns {
    by_name: HashMap<String, u64>,
    largest: u64,
}

impl DefinedColumns {
    fn of(select: &Select) -> Self {
        let (mut by_name, mut largest) = (HashMap::new(), 0);
        for item in &select.projection {
            let size = match item {
                SelectItem::ExprWithAlias { expr, alias } => {
                    let size = size(expr);
                    by_name.insert(alias.value.to_lowercase(), size);
                    size
                }
                SelectItem::UnnamedExpr(expr) => size(expr),
                _ => 1,
            };
            largest = size.max(largest);
        }
        Self { by_name, largest }
    }

    /// Returns the size of the definitions of the names in a part of a statement.
    fn size_in(&self, part: &impl Visit) -> u64 {
        let mut total = 0_u64;
        visit_expressions(part, |expr| {
            if let Expr::Identifier(name) = expr {
                let size = self.by_name.get(&name.value.to_lowercase());
                total = total.saturating_add(size.copied().unwrap_or(0));
            }
        });
        total
    }

    /// Returns the largest size of the definitions that take the places of numbers, as in `GROUP BY 1`.
    fn size_at_positions<'e>(&self, exprs: impl Iterator<Item = &'e Expr>) -> u64 {
        let is_position = |expr: &&Expr| matches!(expr, Expr::Value(value) if matches!(value.value, Value::Number(..)));
        self.largest.saturating_mul(exprs.filter(is_position).count() as u64)
    }
}

/// Returns the size of the definitions that take the places of the names of windows.
fn size_of_windows(select: &Select) -> u64 {
    if select.named_window.is_empty() {
        return 0;
    }
    let windows = select.named_window.iter().map(|window| (window.0.value.to_lowercase(), size(window)));
    let windows: HashMap<String, u64> = windows.collect();
    let mut total = 0_u64;
    visit_expressions(&select.projection, |expr| {
        if let Expr::Function(call) = expr
            && let Some(WindowType::NamedWindow(name)) = &call.over
        {
            let size = windows.get(&name.value.to_lowercase());
            total = total.saturating_add(size.copied().unwrap_or(0));
        }
    });
    total
}

/// Returns the number of expressions in a part of a statement.
fn size(part: &impl Visit) -> u64 {
    let mut size = 0_u64;
    visit_expressions(part, |_| size += 1);
    size
}
