//! Writes calls, operators and clauses of other databases as those of DataFusion.

use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator, Expr, Fetch, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArgumentList,
    FunctionArguments, LimitClause, Query, Select, SelectFlavor, SelectItem, SetExpr, Spanned, Statement, Value,
    VisitorMut,
};
use sqlparser::tokenizer::Span;

use super::arguments::{arguments, at, invalid, name_of, plain_arguments, rename, span_of, string};
use super::instead::{INSTEAD, WITH_LAMBDA};
use super::spellings::{Fact, SPELLINGS, StandsFor};
use super::templates::filled;
use super::{SessionFacts, json, parts, texts};
use crate::execution::errors::start_of;
use crate::visit::{text_literal, visit_mut};
use crate::{Error, ErrorKind, Result};

/// The default separator of aggregate functions that join strings.
const SEPARATOR: &str = ",";

/// Spells out a statement.
///
/// # Errors
/// `InvalidQuery` for a call that has no meaning here, with what to write instead, and `Unsupported` for lambdas.
pub(crate) fn spell_out(statement: &mut Statement, facts: &SessionFacts) -> Result<()> {
    visit_mut(statement, &mut Calls { facts }).break_value().map_or(Ok(()), Err)
}

struct Calls<'a> {
    facts: &'a SessionFacts,
}

impl VisitorMut for Calls<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        limited(query);
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        if select.projection.is_empty() && select.flavor != SelectFlavor::FromFirstNoSelect {
            return ControlFlow::Break(invalid("a SELECT has no columns: write `SELECT *` for all of them".to_owned()));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        match expr {
            // EXISTS reads no column.
            Expr::Exists { subquery, .. } => {
                if let SetExpr::Select(select) = subquery.body.as_mut()
                    && select.projection.is_empty()
                {
                    select.projection.push(SelectItem::UnnamedExpr(string("x")));
                }
                ControlFlow::Continue(())
            }
            // A lambda in the arguments would become an operator on JSON.
            Expr::Function(function) => match name_of(function) {
                Some(name) if WITH_LAMBDA.contains(&name.as_str()) => {
                    let what = format!(
                        "`{name}` takes a lambda, which statements cannot have: `unnest` the list in a subquery, and \
                         group the items again with `array_agg`"
                    );
                    let error = Error::new(ErrorKind::Unsupported, what);
                    ControlFlow::Break(error.at(span_of(function).and_then(start_of)))
                }
                _ => ControlFlow::Continue(()),
            },
            _ => ControlFlow::Continue(()),
        }
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        let spelled = match expr {
            Expr::Function(function) => self.call(function),
            Expr::BinaryOp { left, op, right } => operator(left, op, right),
            _ => Ok(None),
        };
        match spelled {
            Ok(Some(spelled)) => *expr = spelled,
            Ok(None) => {}
            Err(error) => return ControlFlow::Break(error),
        }
        ControlFlow::Continue(())
    }
}

/// Writes `FETCH FIRST n ROWS ONLY` as `LIMIT n`.
fn limited(query: &mut Query) {
    let Some(Fetch { with_ties: false, percent: false, quantity }) = &query.fetch else { return };
    let limit = quantity.clone().unwrap_or_else(|| Expr::Value(Value::Number("1".to_owned(), false).into()));
    match &mut query.limit_clause {
        none @ None => {
            *none = Some(LimitClause::LimitOffset { limit: Some(limit), offset: None, limit_by: vec![] });
        }
        Some(LimitClause::LimitOffset { limit: none @ None, .. }) => *none = Some(limit),
        // The planner refuses two limits.
        Some(_) => return,
    }
    query.fetch = None;
}

/// Writes `->` and `->>` as functions, and refuses `^`, which is an exclusive OR for DataFusion.
fn operator(left: &Expr, op: &BinaryOperator, right: &Expr) -> Result<Option<Expr>> {
    let function = match op {
        BinaryOperator::Arrow => json::EXTRACT,
        BinaryOperator::LongArrow => json::EXTRACT_TEXT,
        BinaryOperator::BitwiseXor => {
            let what = "`^` is a power in DuckDB and PostgreSQL, and an exclusive OR in other databases: write \
                        `power(a, b)`, or `(a | b) - (a & b)`";
            return Err(at(left.span(), what.to_owned()));
        }
        _ => return Ok(None),
    };
    let span = left.span();
    if let Some(extracted) = extracted(function, std::slice::from_ref(left), right, span)? {
        return Ok(Some(extracted));
    }
    filled(&format!("{function}($1, $2)"), &[left.clone(), right.clone()], span).map(Some)
}

/// Writes a path such as `$.a[0]` as the steps that the functions take; `None` if the last argument is no such path.
fn extracted(function: &str, before: &[Expr], path: &Expr, span: Span) -> Result<Option<Expr>> {
    let [document] = before else { return Ok(None) };
    let path = match path {
        Expr::Array(_) => return Err(invalid(format!("`{function}` takes one path: call it once for each"))),
        path => text_literal(path),
    };
    let Some(path) = path else { return Ok(None) };
    if path.starts_with('/') {
        return Err(invalid(format!("`{function}` takes a path such as `$.a.b`, got `{path}`")));
    }
    if !path.starts_with('$') {
        return Ok(None);
    }
    let steps = json::steps(path).map_err(invalid)?;
    let arguments: Vec<String> = ["$1".to_owned()].into_iter().chain(steps).collect();
    filled(&format!("{function}({})", arguments.join(", ")), std::slice::from_ref(document), span).map(Some)
}

impl Calls<'_> {
    /// Returns the expression that a call stands for; `None` if the call stays, perhaps under another name.
    fn call(&self, function: &mut Function) -> Result<Option<Expr>> {
        let (Some(name), Some(span)) = (name_of(function), span_of(function)) else { return Ok(None) };
        if let Some((_, instead)) = INSTEAD.iter().find(|(other, _)| *other == name) {
            let error = at(span, format!("there is no function `{name}`: write {instead}"));
            return Err(error.with_suggestion(instead.split('`').nth(1).map(str::to_owned)));
        }
        match name.as_str() {
            json::EXTRACT | json::EXTRACT_TEXT => {
                let Some(arguments) = plain_arguments(function) else { return Ok(None) };
                let [before @ .., path] = arguments.as_slice() else { return Ok(None) };
                let Some(mut spelled) = extracted(&name, before, path, span)? else { return Ok(None) };
                over_the_same(function, &mut spelled, &format!("{name}(doc, path)"), span)?;
                return Ok(Some(spelled));
            }
            "date_diff" | "datediff" => {
                parts::as_text(function, &name, span)?;
                return parts::check_difference(function, &name, span).map(|()| None);
            }
            "date_part" | "datepart" | "date_trunc" | "datetrunc" => {
                return parts::as_text(function, &name, span).map(|()| None);
            }
            "strftime" => {
                pattern_last(function);
                return Ok(None);
            }
            _ => {}
        }
        let Some(spelling) = SPELLINGS.iter().find(|spelling| spelling.name == name) else { return Ok(None) };
        match spelling.stands_for {
            StandsFor::Function(other) => {
                rename(function, other);
                Ok(None)
            }
            StandsFor::Joined => joined(function, span).map(|()| None),
            StandsFor::Session(fact) => self.fact(function, fact).map(Some),
            StandsFor::Text => {
                let usage = "format(pattern, x, …)";
                let arguments = arguments(function, usage, span)?;
                let Some((pattern, rest)) = arguments.split_first() else {
                    return Err(at(span, "`format` takes a pattern, and values".to_owned()));
                };
                let Some(pattern) = text_literal(pattern) else {
                    let what =
                        format!("the pattern of `format` is a literal, got `{pattern}`: `printf` takes any string");
                    return Err(at(span, what));
                };
                let template = texts::template(pattern, rest.len()).map_err(|what| at(span, what))?;
                let mut spelled = filled(&template, rest, span)?;
                over_the_same(function, &mut spelled, usage, span)?;
                Ok(Some(spelled))
            }
            StandsFor::Template(places, template) => {
                let usage = format!("{name}({})", spelling.arguments);
                let arguments = arguments(function, &usage, span)?;
                if arguments.len() != places {
                    let given = arguments.len();
                    let noun = if places == 1 { "argument" } else { "arguments" };
                    return Err(at(span, format!("`{name}` takes {places} {noun}, got {given}: write `{usage}`")));
                }
                let mut spelled = filled(template, &arguments, span)?;
                over_the_same(function, &mut spelled, &usage, span)?;
                Ok(Some(spelled))
            }
        }
    }

    fn fact(&self, function: &Function, fact: Fact) -> Result<Expr> {
        if !matches!(&function.args, FunctionArguments::None)
            && plain_arguments(function).is_none_or(|arguments| !arguments.is_empty())
        {
            return Err(invalid(format!("`{}` takes no arguments", function.name)));
        }
        Ok(string(&match fact {
            Fact::User => self.facts.user.clone(),
            Fact::Catalog => self.facts.catalog.clone(),
            Fact::Schema => self.facts.schema.clone(),
            Fact::Version => format!("Portolan {}", env!("CARGO_PKG_VERSION")),
        }))
    }
}

/// Moves the clauses behind a call to the call in its place.
fn over_the_same(function: &mut Function, spelled: &mut Expr, usage: &str, span: Span) -> Result<()> {
    let (filter, over, nulls) = (function.filter.take(), function.over.take(), function.null_treatment.take());
    match spelled {
        Expr::Function(spelled) => {
            spelled.filter = filter;
            spelled.over = over;
            spelled.null_treatment = nulls;
            Ok(())
        }
        _ if filter.is_none() && over.is_none() && nulls.is_none() => Ok(()),
        _ => Err(at(span, format!("`{usage}` is no aggregate function: it takes no FILTER, OVER or IGNORE NULLS"))),
    }
}

/// Puts the pattern of `strftime` behind the date. DuckDB accepts both orders.
fn pattern_last(function: &mut Function) {
    let FunctionArguments::List(FunctionArgumentList { args, .. }) = &mut function.args else { return };
    let is_pattern = |argument: &FunctionArg| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => text_literal(expr).is_some_and(|text| text.contains('%')),
        _ => false,
    };
    if args.len() == 2 && args.first().is_some_and(is_pattern) {
        args.swap(0, 1);
    }
}

/// Adds the separator to a call that joins strings, and gives the call DataFusion's name. The order in WITHIN GROUP
/// moves into the brackets.
fn joined(function: &mut Function, span: Span) -> Result<()> {
    let order = std::mem::take(&mut function.within_group);
    let FunctionArguments::List(FunctionArgumentList { args, clauses, .. }) = &mut function.args else {
        return Err(at(span, format!("`{}` takes the strings to join", function.name)));
    };
    let separator = clauses.iter().position(|clause| matches!(clause, FunctionArgumentClause::Separator(_)));
    let separator = match separator.map(|place| clauses.remove(place)) {
        Some(FunctionArgumentClause::Separator(value)) => Expr::Value(value),
        _ => string(SEPARATOR),
    };
    if args.len() == 1 {
        args.push(FunctionArg::Unnamed(FunctionArgExpr::Expr(separator)));
    }
    if !order.is_empty() {
        clauses.push(FunctionArgumentClause::OrderBy(order));
    }
    rename(function, "string_agg");
    Ok(())
}
