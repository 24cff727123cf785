//! The costs of the functions that need a bound. Each is an upper bound, and may be too high: it decides how many rows
//! run at once, and what is refused.

pub(super) mod lists;
pub(super) mod patterns;
pub(super) mod strings;
mod widths;
