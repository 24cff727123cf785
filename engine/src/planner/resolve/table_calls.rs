//! The error for a function in a FROM that does not exist: `FROM read_table('x')` names a function, and no port.

use std::ops::ControlFlow;

use datafusion::common::TableReference;
use datafusion::execution::session_state::SessionState;
use datafusion::sql::parser::Statement;
use portolan_catalog::nearest::nearest;
use sqlparser::ast::{ObjectName, TableFactor, Visitor};

use super::files::FUNCTIONS;
use crate::visit::visit;
use crate::{Error, ErrorKind};

/// Returns the error if a name is that of a function in a FROM; `None` if it is the name of a table.
pub(super) fn unknown(reference: &TableReference, statement: &Statement, state: &SessionState) -> Option<Error> {
    let Statement::Statement(statement) = statement else { return None };
    let name = reference.table();
    visit(statement.as_ref(), &mut Calls { name }).is_break().then(|| {
        let mut known: Vec<&str> = state.table_functions().keys().map(String::as_str).collect();
        known.extend(FUNCTIONS.map(|(name, _)| name));
        known.sort_unstable();
        let valid = known.join(", ");
        let error = Error::new(ErrorKind::NotFound, format!("there is no table function `{reference}`: use {valid}"));
        error.suggesting(nearest(name, known))
    })
}

/// Finds a call of the function with this name in a FROM.
struct Calls<'a> {
    name: &'a str,
}

impl Calls<'_> {
    fn is(&self, name: &ObjectName) -> bool {
        let last = name.0.last().and_then(|part| part.as_ident());
        last.is_some_and(|last| last.value.eq_ignore_ascii_case(self.name))
    }
}

impl Visitor for Calls<'_> {
    type Break = ();

    fn pre_visit_table_factor(&mut self, table: &TableFactor) -> ControlFlow<()> {
        match table {
            TableFactor::Table { name, args: Some(_), .. } | TableFactor::Function { name, .. } if self.is(name) => {
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        }
    }
}
