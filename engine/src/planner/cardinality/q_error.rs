//! The error of an estimate.

/// Returns the q-error (Moerkotte, Neumann, Steidl, VLDB 2009): the factor by which an estimate is off, in either
/// direction. Both numbers count as at least 1, so that 0 instead of 1 is not an error.
pub(crate) fn q_error(estimated: f64, actual: f64) -> f64 {
    let (estimated, actual) = (estimated.max(1.0), actual.max(1.0));
    (estimated / actual).max(actual / estimated)
}
