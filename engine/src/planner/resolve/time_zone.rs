//! `SET TIME ZONE`. A session has the time zone UTC, which many clients set. Another zone would change the results of
//! owners, which plan with their own settings.

use sqlparser::ast::Set;

use super::assignments::literal;
use crate::{Error, ErrorKind, Result};

/// The names of the setting in other databases.
const NAMES: [&str; 2] = ["timezone", "time_zone"];
/// The names of UTC, and of the default.
const UTC: [&str; 10] = ["UTC", "Etc/UTC", "GMT", "Z", "Zulu", "+00:00", "+00", "0", "DEFAULT", "LOCAL"];

/// True if a statement sets the time zone.
pub(super) fn is_set(set: &Set) -> bool {
    match set {
        Set::SetTimeZone { .. } => true,
        Set::SingleAssignment { variable, .. } => {
            let name = variable.to_string();
            NAMES.iter().any(|known| known.eq_ignore_ascii_case(&name))
        }
        _ => false,
    }
}

/// Accepts UTC.
///
/// # Errors
/// `Unsupported` for another time zone.
pub(super) fn check(set: &Set) -> Result<()> {
    let value = match set {
        Set::SetTimeZone { local: false, value } => Some(value),
        Set::SingleAssignment { values, .. } => values.first(),
        _ => None,
    };
    let Some(value) = value.map(literal) else { return Ok(()) };
    if UTC.iter().any(|known| known.eq_ignore_ascii_case(&value)) {
        return Ok(());
    }
    let what = format!(
        "the time zone of a session is UTC, got `{value}`: write `at AT TIME ZONE 'UTC' AT TIME ZONE 'Europe/Berlin'` for \
         the time in another zone"
    );
    Err(Error::new(ErrorKind::Unsupported, what))
}
