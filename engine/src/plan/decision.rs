//! What the planner weighed for an operator that combines sites, and what each alternative costs.

/// What a plan, or a part of one, is expected to cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Cost {
    /// Bytes over edges.
    pub(crate) bytes: f64,
    /// Milliseconds of edges and of work, added up as if nothing ran side by side.
    pub(crate) milliseconds: f64,
}

/// One way to do what an operator asks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Alternative {
    /// In words: `gather`, `keys from sales`, `delegate to supply`.
    pub(crate) what: String,
    pub(crate) cost: Cost,
}

/// What was decided for an operator that combines sites.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Decision {
    pub(crate) chosen: Alternative,
    /// What else could have been done, cheapest first.
    pub(crate) runners_up: Vec<Alternative>,
}
