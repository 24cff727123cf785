//! Expressions written in SQL with numbered places (`$1`, `$2`) for arguments.

use std::ops::ControlFlow;

use sqlparser::ast::{Expr, Function, ObjectNamePart, Value, ValueWithSpan, VisitorMut};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Span;

use crate::visit::visit_mut;
use crate::{Error, ErrorKind, Result};

/// Returns the expression that a template writes, with the arguments in their places. Errors about the expression name
/// the place of the call that it stands for.
///
/// # Errors
/// `Internal` if the template does not parse.
pub(super) fn filled(template: &str, arguments: &[Expr], span: Span) -> Result<Expr> {
    let parsed = Parser::new(&GenericDialect {}).try_with_sql(template).and_then(|mut parser| parser.parse_expr());
    let mut expr = parsed.map_err(|e| {
        Error::new(ErrorKind::Internal, format!("a spelling does not parse: {template}")).with_source(e)
    })?;
    let _ = visit_mut(&mut expr, &mut Places { arguments, span });
    Ok(expr)
}

struct Places<'a> {
    arguments: &'a [Expr],
    span: Span,
}

impl VisitorMut for Places<'_> {
    type Break = ();

    fn pre_visit_value(&mut self, value: &mut ValueWithSpan) -> ControlFlow<()> {
        value.span = self.span;
        ControlFlow::Continue(())
    }

    // What an argument contains is not visited after it is in its place.
    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Value(ValueWithSpan { value: Value::Placeholder(place), .. }) => {
                let number = place.trim_start_matches('$').parse::<usize>().ok();
                let argument = number.and_then(|number| self.arguments.get(number.checked_sub(1)?));
                if let Some(argument) = argument {
                    *expr = alone(argument.clone());
                }
            }
            Expr::Function(Function { name, .. }) => {
                for part in &mut name.0 {
                    if let ObjectNamePart::Identifier(ident) = part {
                        ident.span = self.span;
                    }
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// Returns an expression that stays whole beside operators, also where it is printed as text.
fn alone(expr: Expr) -> Expr {
    match expr {
        whole @ (Expr::Identifier(_)
        | Expr::CompoundIdentifier(_)
        | Expr::Value(_)
        | Expr::Nested(_)
        | Expr::Function(_)
        | Expr::Cast { .. }
        | Expr::Array(_)) => whole,
        other => Expr::Nested(Box::new(other)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    fn expr(sql: &str) -> Expr {
        Parser::new(&GenericDialect {}).try_with_sql(sql).unwrap().parse_expr().unwrap()
    }

    #[test]
    fn arguments_stay_whole_in_their_places() {
        let arguments = [expr("a + 1"), expr("$1"), expr("t.b")];
        let filled = filled("f($2, $1 * $3)", &arguments, Span::empty()).unwrap();
        assert_eq!(filled.to_string(), "f($1, (a + 1) * t.b)");
    }

    #[test]
    fn the_words_of_a_template_have_the_place_of_the_call() {
        let place = |expr: &Expr| match expr {
            Expr::Function(function) => function.name.0[0].as_ident().unwrap().span,
            other => panic!("{other}"),
        };
        let span = place(&expr("\n  year(day)"));
        assert_eq!((span.start.line, span.start.column), (2, 3));
        assert_eq!(place(&filled("date_part('year', $1)", &[expr("day")], span).unwrap()), span);
    }
}
