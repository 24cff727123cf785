//! The error for a function that does not exist, with the nearest one.

use datafusion::error::DataFusionError;
use datafusion::execution::session_state::SessionState;
use portolan_catalog::nearest::nearest;

use crate::dialect::SPELLINGS;
use crate::execution::errors::position_of;
use crate::{Error, ErrorKind};

/// Returns the error for a function that does not exist; `None` for other errors.
pub(super) fn unknown(error: &DataFusionError, state: &SessionState) -> Option<Error> {
    let DataFusionError::Plan(message) = error.find_root() else { return None };
    let name = message.strip_prefix("Invalid function '")?.split('\'').next()?;
    let unknown = if state.window_functions().contains_key(name) {
        let what = format!("`{name}` is a window function: write `{name}(…) OVER (ORDER BY …)`");
        Error::new(ErrorKind::InvalidQuery, what)
    } else {
        let unknown = Error::new(ErrorKind::InvalidQuery, format!("there is no function `{name}`"));
        unknown.suggesting(nearest(name, names(state)))
    };
    Some(unknown.at(position_of(error)))
}

/// Returns the names of all functions, with those that stand for others.
fn names(state: &SessionState) -> impl Iterator<Item = &str> {
    let scalar = state.scalar_functions().keys().chain(state.higher_order_functions().keys());
    let others = state.aggregate_functions().keys().chain(state.window_functions().keys());
    let spelled = SPELLINGS.iter().map(|spelling| spelling.name);
    scalar.chain(others).map(String::as_str).chain(spelled)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::upstream::state_builder;

    fn said(name: &str) -> String {
        let error = DataFusionError::Plan(format!("Invalid function '{name}'.\nDid you mean 'ceil'?"));
        unknown(&error, &state_builder().build()).unwrap().context().to_owned()
    }

    #[test]
    fn a_near_name_is_suggested() {
        assert_eq!(said("sunm"), "there is no function `sunm`; did you mean `sum`?");
        assert_eq!(said("lastday"), "there is no function `lastday`; did you mean `last_day`?");
        assert_eq!(said("frobnicate"), "there is no function `frobnicate`");
        assert_eq!(said("lag"), "`lag` is a window function: write `lag(…) OVER (ORDER BY …)`");
        let other = DataFusionError::Plan("Invalid qualifier x".to_owned());
        assert!(unknown(&other, &state_builder().build()).is_none());
    }
}
