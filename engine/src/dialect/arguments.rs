//! The name and the arguments of a call.

use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident, Value,
};
use sqlparser::tokenizer::Span;

use crate::execution::errors::start_of;
use crate::{Error, ErrorKind, Result};

/// Returns the arguments of a call.
///
/// # Errors
/// If the call has a clause such as DISTINCT in its arguments.
pub(super) fn arguments(function: &Function, usage: &str, span: Span) -> Result<Vec<Expr>> {
    match &function.args {
        FunctionArguments::None => Ok(vec![]),
        _ => plain_arguments(function).ok_or_else(|| {
            at(span, format!("`{}` takes expressions, and no DISTINCT or ORDER BY: write `{usage}`", function.name))
        }),
    }
}

/// Returns the arguments of a call, if they are expressions and nothing else.
pub(super) fn plain_arguments(function: &Function) -> Option<Vec<Expr>> {
    let FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses }) = &function.args
    else {
        return None;
    };
    if !clauses.is_empty() || !function.within_group.is_empty() {
        return None;
    }
    let plain = |argument: &FunctionArg| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    };
    args.iter().map(plain).collect()
}

/// Returns the name of a function, if it has one part. Names without quotes are in lower case.
pub(super) fn name_of(function: &Function) -> Option<String> {
    let [part] = function.name.0.as_slice() else { return None };
    let Ident { value, quote_style, .. } = part.as_ident()?;
    Some(if quote_style.is_some() { value.clone() } else { value.to_ascii_lowercase() })
}

pub(super) fn span_of(function: &Function) -> Option<Span> {
    Some(function.name.0.first()?.as_ident()?.span)
}

pub(super) fn rename(function: &mut Function, name: &str) {
    let span = span_of(function).unwrap_or_else(Span::empty);
    function.name = vec![Ident { value: name.to_owned(), quote_style: None, span }].into();
}

pub(super) fn string(text: &str) -> Expr {
    Expr::Value(Value::SingleQuotedString(text.to_owned()).into())
}

pub(super) fn invalid(what: String) -> Error {
    Error::new(ErrorKind::InvalidQuery, what)
}

/// Returns the error of a call, with its place in the statement.
pub(super) fn at(span: Span, what: String) -> Error {
    invalid(what).at(start_of(span))
}
