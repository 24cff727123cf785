//! `FROM t` without `SELECT` returns all columns.
//!
//! The SQL planner of DataFusion 55.2 reads the missing list as an empty one: the rows have no columns.
//!
//! Before: `FROM t`. After: `FROM t SELECT *`.

use std::ops::ControlFlow;

use sqlparser::ast::{Select, SelectFlavor, SelectItem, Statement, VisitorMut, WildcardAdditionalOptions};

use crate::visit::visit_mut;

/// Adds the list that such queries leave out.
pub(crate) fn spell_out(statement: &mut Statement) {
    let _ = visit_mut(statement, &mut FromFirst);
}

struct FromFirst;

impl VisitorMut for FromFirst {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        if select.flavor == SelectFlavor::FromFirstNoSelect && select.projection.is_empty() {
            select.projection.push(SelectItem::Wildcard(WildcardAdditionalOptions::default()));
            select.flavor = SelectFlavor::FromFirst;
        }
        ControlFlow::Continue(())
    }
}
