//! The part of a date in a call, such as `day` in `date_diff(day, start, end)`. DataFusion takes a string.

use sqlparser::ast::{Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident};
use sqlparser::tokenizer::Span;

use super::arguments::{arguments, at, string};
use super::periods;
use crate::Result;
use crate::visit::text_literal;

/// Writes the part of a date as a string. Some databases write it as a name.
///
/// # Errors
/// If the part stands behind the dates, as in other databases.
pub(super) fn as_text(function: &mut Function, name: &str, span: Span) -> Result<()> {
    let FunctionArguments::List(list) = &mut function.args else { return Ok(()) };
    let named = list.args.first().and_then(named_part);
    let starts_with_date = named.is_none() && list.args.first().is_some_and(may_be_date);
    if let Some(last) = list.args.last().and_then(named_part).filter(|_| starts_with_date) {
        let rest = if name.ends_with("diff") { "start, end" } else { "at" };
        let what = format!("`{name}` takes the part first: write `{name}('{}', {rest})`", last.to_ascii_lowercase());
        return Err(at(span, what));
    }
    if let (Some(part), Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(first)))) = (named, list.args.first_mut()) {
        *first = string(&part);
    }
    Ok(())
}

/// Checks the arguments of `date_diff`.
///
/// # Errors
/// Another number of arguments, and a part that the function does not count.
pub(super) fn check_difference(function: &Function, name: &str, span: Span) -> Result<()> {
    let usage = "date_diff('day', start, end)";
    let given = arguments(function, usage, span)?;
    if given.len() != 3 {
        let given = given.len();
        let what = format!("`{name}` takes a part, a start and an end, got {given} arguments: write `{usage}`");
        return Err(at(span, what));
    }
    match given.first().and_then(text_literal) {
        Some(part) => periods::check(part).map_err(|what| at(span, what)),
        None => Ok(()),
    }
}

/// Returns the part of a date that an argument names without quotes.
fn named_part(argument: &FunctionArg) -> Option<String> {
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Identifier(Ident { value, quote_style: None, .. })))
            if periods::is_part(value) =>
        {
            Some(value.clone())
        }
        _ => None,
    }
}

/// True for an argument that may be a date, and is no part.
fn may_be_date(argument: &FunctionArg) -> bool {
    matches!(
        argument,
        FunctionArg::Unnamed(FunctionArgExpr::Expr(
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::TypedString(_) | Expr::Cast { .. }
        ))
    )
}
