//! The actions of Flight and Flight SQL, with the names and descriptions that `ListActions` returns.

use arrow_flight::ActionType;

use super::session_messages::{CLOSE_SESSION, GET_SESSION_OPTIONS, SET_SESSION_OPTIONS};

pub(super) const CREATE_PREPARED: &str = "CreatePreparedStatement";
pub(super) const CREATE_SUBSTRAIT: &str = "CreatePreparedSubstraitPlan";
pub(super) const CLOSE_PREPARED: &str = "ClosePreparedStatement";
pub(super) const CANCEL_INFO: &str = "CancelFlightInfo";
pub(super) const CANCEL_QUERY: &str = "CancelQuery";
pub(super) const RENEW: &str = "RenewFlightEndpoint";
pub(super) const BEGIN_TRANSACTION: &str = "BeginTransaction";
pub(super) const END_TRANSACTION: &str = "EndTransaction";
pub(super) const BEGIN_SAVEPOINT: &str = "BeginSavepoint";
pub(super) const END_SAVEPOINT: &str = "EndSavepoint";

/// The actions that a handler may support, each with a description.
const ACTIONS: [(&str, &str); 8] = [
    (CREATE_PREPARED, "creates a prepared statement"),
    (CLOSE_PREPARED, "closes a prepared statement"),
    (CANCEL_INFO, "cancels a running statement"),
    (CANCEL_QUERY, "cancels a running statement (older version of CancelFlightInfo)"),
    (RENEW, "extends the expiry of an endpoint"),
    (SET_SESSION_OPTIONS, "sets options of the session"),
    (GET_SESSION_OPTIONS, "returns the options of the session"),
    (CLOSE_SESSION, "ends the session"),
];

/// Returns all actions: those of the protocols, then the server's own.
pub(super) fn action_types(own: Vec<ActionType>) -> Vec<ActionType> {
    let type_of = |(name, what): (&str, &str)| ActionType { r#type: name.to_owned(), description: what.to_owned() };
    ACTIONS.into_iter().map(type_of).chain(own).collect()
}
