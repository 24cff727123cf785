//! How far an estimate is off.

/// The q-error (Moerkotte, Neumann, Steidl, VLDB 2009): by what factor an estimate is off, in either direction. Both
/// figures count as at least 1, so that "none" and "one" are no error.
pub(crate) fn q_error(estimated: f64, actual: f64) -> f64 {
    let (estimated, actual) = (estimated.max(1.0), actual.max(1.0));
    (estimated / actual).max(actual / estimated)
}
