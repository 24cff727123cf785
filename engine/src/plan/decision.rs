//! The alternatives of an operator that combines sites, with their costs.

/// The expected cost of a plan, or of a part of one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Cost {
    /// Bytes over edges.
    pub(crate) bytes: f64,
    /// Milliseconds of edges and of work, added up as if nothing ran in parallel.
    pub(crate) milliseconds: f64,
}

/// One way to run an operator.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Alternative {
    /// The alternative in words: `gather`, `keys from sales`, `delegate to supply`.
    pub(crate) what: String,
    pub(crate) cost: Cost,
}

/// The decision for an operator that combines sites.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Decision {
    pub(crate) chosen: Alternative,
    /// The other alternatives, the cheapest first.
    pub(crate) runners_up: Vec<Alternative>,
}
