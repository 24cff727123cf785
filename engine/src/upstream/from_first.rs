//! `FROM t` without `SELECT` gives all columns.
//!
//! The SQL planner of DataFusion 55.2 takes the list that is not there for an empty one: the rows come without columns.
//!
//! Before: `FROM t`. After: `FROM t SELECT *`.

use std::ops::ControlFlow;

use sqlparser::ast::{Select, SelectFlavor, SelectItem, Statement, VisitMut, VisitorMut, WildcardAdditionalOptions};

/// Writes the list that such queries leave out.
pub(crate) fn spell_out(statement: &mut Statement) {
    let _ = statement.visit(&mut FromFirst);
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
