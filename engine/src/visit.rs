//! Reads the parts of a parsed statement, with any visitor.
//!
//! The visit of `sqlparser` is generic over the visitor: the code for all types of the syntax tree, some 400 kB, is
//! compiled again for each visitor. Here the visit sees one type, which calls the visitor through a pointer.

use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, ObjectName, Query, Select, Statement, TableFactor, Value, ValueWithSpan, Visit, VisitMut, Visitor, VisitorMut,
};

/// Visits a part of a statement, as `part.visit(visitor)` does.
pub(crate) fn visit<V: Visitor>(part: &impl Visit, visitor: &mut V) -> ControlFlow<V::Break> {
    let mut breaking = Breaking { visitor, value: None };
    let pointer: &mut dyn Visitor<Break = ()> = &mut breaking;
    let _ = part.visit(&mut Pointer(pointer));
    breaking.value.map_or(ControlFlow::Continue(()), ControlFlow::Break)
}

/// Visits a part of a statement with a visitor that changes it, as `part.visit(visitor)` does.
pub(crate) fn visit_mut<V: VisitorMut>(part: &mut impl VisitMut, visitor: &mut V) -> ControlFlow<V::Break> {
    let mut breaking = Breaking { visitor, value: None };
    let pointer: &mut dyn VisitorMut<Break = ()> = &mut breaking;
    let _ = part.visit(&mut Pointer(pointer));
    breaking.value.map_or(ControlFlow::Continue(()), ControlFlow::Break)
}

/// Visits the expressions of a part of a statement, each before its parts.
pub(crate) fn visit_expressions(part: &impl Visit, mut visitor: impl FnMut(&Expr)) {
    find_expression(part, |expr| {
        visitor(expr);
        None::<()>
    });
}

/// Returns what `find` returns for the first expression of a part of a statement for which it returns something.
pub(crate) fn find_expression<T>(part: &impl Visit, find: impl FnMut(&Expr) -> Option<T>) -> Option<T> {
    visit(part, &mut Expressions(find)).break_value()
}

/// Visits the expressions of a part of a statement to change them, each after its parts.
pub(crate) fn visit_expressions_mut(part: &mut impl VisitMut, visitor: impl FnMut(&mut Expr)) {
    let _ = visit_mut(part, &mut Expressions(visitor));
}

/// Visits the names of the relations that a part of a statement reads.
pub(crate) fn visit_relations(part: &impl Visit, visitor: impl FnMut(&ObjectName)) {
    let _ = visit(part, &mut Relations(visitor));
}

/// Returns the text of a literal in single quotes.
pub(crate) fn text_literal(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text.as_str()),
            _ => None,
        },
        Expr::Nested(inner) => text_literal(inner),
        _ => None,
    }
}

struct Expressions<F>(F);

impl<T, F: FnMut(&Expr) -> Option<T>> Visitor for Expressions<F> {
    type Break = T;

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<T> {
        self.0(expr).map_or(ControlFlow::Continue(()), ControlFlow::Break)
    }
}

impl<F: FnMut(&mut Expr)> VisitorMut for Expressions<F> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        self.0(expr);
        ControlFlow::Continue(())
    }
}

struct Relations<F>(F);

impl<F: FnMut(&ObjectName)> Visitor for Relations<F> {
    type Break = ();

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        self.0(relation);
        ControlFlow::Continue(())
    }
}

/// The one type that visits.
struct Pointer<'a, V: ?Sized>(&'a mut V);

/// A visitor, and the value with which it ended the visit.
struct Breaking<'a, V, B> {
    visitor: &'a mut V,
    value: Option<B>,
}

impl<V, B> Breaking<'_, V, B> {
    fn keep(&mut self, flow: ControlFlow<B>) -> ControlFlow<()> {
        match flow {
            ControlFlow::Continue(()) => ControlFlow::Continue(()),
            ControlFlow::Break(value) => {
                self.value = Some(value);
                ControlFlow::Break(())
            }
        }
    }
}

macro_rules! forward {
    ($visitor:ident: $($method:ident($part:ty)),+ $(,)?) => {
        impl $visitor for Pointer<'_, dyn $visitor<Break = ()> + '_> {
            type Break = ();

            $(fn $method(&mut self, part: $part) -> ControlFlow<()> {
                self.0.$method(part)
            })+
        }

        impl<V: $visitor> $visitor for Breaking<'_, V, <V as $visitor>::Break> {
            type Break = ();

            $(fn $method(&mut self, part: $part) -> ControlFlow<()> {
                let flow = self.visitor.$method(part);
                self.keep(flow)
            })+
        }
    };
}

forward!(
    Visitor:
    pre_visit_query(&Query),
    post_visit_query(&Query),
    pre_visit_select(&Select),
    post_visit_select(&Select),
    pre_visit_relation(&ObjectName),
    post_visit_relation(&ObjectName),
    pre_visit_table_factor(&TableFactor),
    post_visit_table_factor(&TableFactor),
    pre_visit_expr(&Expr),
    post_visit_expr(&Expr),
    pre_visit_statement(&Statement),
    post_visit_statement(&Statement),
    pre_visit_value(&ValueWithSpan),
    post_visit_value(&ValueWithSpan),
);

forward!(
    VisitorMut:
    pre_visit_query(&mut Query),
    post_visit_query(&mut Query),
    pre_visit_select(&mut Select),
    post_visit_select(&mut Select),
    pre_visit_relation(&mut ObjectName),
    post_visit_relation(&mut ObjectName),
    pre_visit_table_factor(&mut TableFactor),
    post_visit_table_factor(&mut TableFactor),
    pre_visit_expr(&mut Expr),
    post_visit_expr(&mut Expr),
    pre_visit_statement(&mut Statement),
    post_visit_statement(&mut Statement),
    pre_visit_value(&mut ValueWithSpan),
    post_visit_value(&mut ValueWithSpan),
);
