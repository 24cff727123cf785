//! The names of the `WITH` queries of a statement. A query whose name another relation has gets a relation inside, with a name
//! that nothing else has. The plan then distinguishes the readings of the query from those of other relations.
//!
//! Before: `WITH r AS (SELECT 1 …), … FROM s AS r`.
//! After: `WITH r AS (SELECT * FROM (SELECT 1 …) AS "WITH r 1"), … FROM s AS r`.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use sqlparser::ast::{
    Ident, ObjectName, ObjectNamePart, Query, SetExpr, Statement, TableAlias, TableFactor, Visitor, VisitorMut,
};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;

use super::{CommonTable, CommonTables};
use crate::upstream::identifiers::normal;
use crate::visit::{visit, visit_mut};

impl CommonTables {
    /// Finds the `WITH` queries of a statement, and changes those whose names other relations have too.
    pub(in super::super) fn of(statement: &mut Statement) -> Self {
        let mut names = Names::default();
        // DataFusion gives these to the sides of INTERSECT and EXCEPT.
        names.aliases.extend(["left", "right"].map(str::to_owned));
        let _ = visit(statement, &mut names);
        let mut naming = Naming { names: &names, found: Self::default(), last: 0 };
        let _ = visit_mut(statement, &mut naming);
        naming.found
    }
}

/// The names of the relations of a statement.
#[derive(Default)]
struct Names {
    /// How many `WITH` queries have the name.
    queries: HashMap<String, usize>,
    /// The aliases of other relations.
    aliases: HashSet<String>,
}

impl Names {
    /// True if no other relation of the statement has the name of a query.
    fn is_unique(&self, query: &str) -> bool {
        self.queries.get(query) == Some(&1) && !self.aliases.contains(query)
    }
}

impl Visitor for Names {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        for query in query.with.iter().flat_map(|with| &with.cte_tables) {
            *self.queries.entry(normal(&query.alias.name)).or_default() += 1;
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, relation: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { alias, .. }
        | TableFactor::Derived { alias, .. }
        | TableFactor::TableFunction { alias, .. }
        | TableFactor::Function { alias, .. }
        | TableFactor::UNNEST { alias, .. }
        | TableFactor::NestedJoin { alias, .. } = relation
        {
            // `FROM r AS r` gives no other relation the name.
            let own = match relation {
                TableFactor::Table { name, .. } => own_name(name),
                _ => None,
            };
            let renames = |alias: &&TableAlias| !alias.columns.is_empty() || own != Some(normal(&alias.name));
            self.aliases.extend(alias.iter().filter(renames).map(|alias| normal(&alias.name)));
        }
        ControlFlow::Continue(())
    }
}

/// Gives each query whose name another relation has a relation inside, with an alias that nothing else has.
struct Naming<'a> {
    names: &'a Names,
    found: CommonTables,
    /// The number of the last alias.
    last: usize,
}

impl VisitorMut for Naming<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let Some(with) = &mut query.with else { return ControlFlow::Continue(()) };
        for query in &mut with.cte_tables {
            let name = normal(&query.alias.name);
            let is_unique = self.names.is_unique(&name);
            // DataFusion takes the union of a recursive query apart.
            let is_recursive = with.recursive && matches!(*query.query.body, SetExpr::SetOperation { .. });
            if is_unique || is_recursive {
                self.found.queries.insert(name.clone(), CommonTable { name, is_unique });
                continue;
            }
            let alias = self.free_alias(&name);
            let table = match enclosed(&query.query, &alias) {
                Some(outer) => {
                    *query.query = outer;
                    (alias, CommonTable { name, is_unique: true })
                }
                None => (name.clone(), CommonTable { name, is_unique: false }),
            };
            self.found.queries.extend([table]);
        }
        ControlFlow::Continue(())
    }
}

impl Naming<'_> {
    /// Returns an alias that no relation of the statement has.
    fn free_alias(&mut self, name: &str) -> String {
        loop {
            self.last += 1;
            let alias = format!("WITH {name} {}", self.last);
            if !self.names.queries.contains_key(&alias) && !self.names.aliases.contains(&alias) {
                return alias;
            }
        }
    }
}

/// Returns a query that reads all columns of another query, which gets an alias.
fn enclosed(query: &Query, alias: &str) -> Option<Query> {
    let text = format!("SELECT * FROM (SELECT 1) AS {}", Ident::with_quote('"', alias));
    let mut outer =
        Parser::new(&GenericDialect {}).try_with_sql(&text).and_then(|mut parser| parser.parse_query()).ok()?;
    let SetExpr::Select(select) = outer.body.as_mut() else { return None };
    let TableFactor::Derived { subquery, .. } = &mut select.from.first_mut()?.relation else { return None };
    **subquery = query.clone();
    Some(*outer)
}

/// Returns the name of a relation, if it has no qualifier.
fn own_name(name: &ObjectName) -> Option<String> {
    match name.0.as_slice() {
        [ObjectNamePart::Identifier(ident)] => Some(normal(ident)),
        _ => None,
    }
}
