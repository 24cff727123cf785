//! The kinds of functions: those whose calls need a bound, and those that do not. A function of DataFusion that is in
//! no list fails a test, so that each new one is looked at.

use super::cost::Estimate;
use super::estimates::{lists, patterns, strings};
use super::operators;

/// A kind of function whose calls need a bound.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) growth: Growth,
    pub(super) estimate: Estimate,
}

/// How the result, or the time, of a call grows with its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Growth {
    /// A few arguments are put together.
    Sum,
    /// A small argument can have a large result, or take long.
    Multiple,
}

/// Returns the kind of a function, if its calls need a bound.
pub(super) fn kind(function: &str) -> Option<&'static Kind> {
    BOUNDED.iter().find(|kind| kind.name == function)
}

const fn sum(name: &'static str, estimate: Estimate) -> Kind {
    Kind { name, growth: Growth::Sum, estimate }
}

const fn multiple(name: &'static str, estimate: Estimate) -> Kind {
    Kind { name, growth: Growth::Multiple, estimate }
}

/// The scalar functions whose result, or whose time, can be far larger than their arguments; and those that put
/// arguments together, because a chain of common table expressions doubles a value at each step.
pub(super) static BOUNDED: &[Kind] = &[
    sum("array_append", lists::all),
    sum("array_concat", lists::all),
    multiple("array_has_all", lists::pairs),
    multiple("array_has_any", lists::pairs),
    sum("array_prepend", lists::all),
    multiple("array_repeat", lists::repeat),
    multiple("array_replace", lists::replace),
    multiple("array_replace_all", lists::replace),
    multiple("array_replace_n", lists::replace),
    multiple("array_resize", lists::resize),
    multiple("array_to_string", lists::to_string),
    sum("btrim", strings::trim),
    sum("concat", strings::concat),
    sum("concat_ws", strings::concat_ws),
    multiple("generate_series", lists::range),
    multiple("levenshtein", strings::pairs),
    multiple("lpad", strings::pad),
    sum("ltrim", strings::trim),
    sum("make_array", lists::all),
    sum("map", lists::all),
    multiple("range", lists::range),
    multiple("regexp_count", patterns::all_matches),
    multiple("regexp_instr", patterns::all_matches),
    multiple("regexp_like", patterns::first_match),
    multiple("regexp_match", patterns::first_match),
    multiple("regexp_replace", patterns::replace),
    multiple("repeat", strings::repeat),
    multiple("replace", strings::replace),
    multiple("rpad", strings::pad),
    sum("rtrim", strings::trim),
    multiple("string_to_array", strings::split),
    sum("strpos", strings::find),
    multiple("to_char", strings::format),
    sum(operators::CONCATENATE, strings::concat),
    multiple(operators::LIKE, patterns::first_match),
    multiple(operators::MATCH, patterns::first_match),
];
