//! The decisions of the owner of ports about one principal, in words that this principal may see. No condition on rows is
//! in them.

use portolan_catalog::PortRef;
use serde::{Deserialize, Serialize};

/// The largest number of ports in a request. A node asks about more ports in several requests.
pub const MOST_DECIDED_PORTS: usize = 1_000;

/// The action that a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DecidedAction {
    /// Reading rows and columns.
    Read,
    /// Seeing the port in catalogs.
    Describe,
}

/// A request for the decisions about ports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionRequest {
    /// The action.
    pub action: DecidedAction,
    /// The ports, at most [`MOST_DECIDED_PORTS`].
    pub ports: Vec<PortRef>,
}

/// The decision about a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortDecision {
    /// The port.
    pub port: PortRef,
    /// True if the principal may do what the request is about.
    pub is_permitted: bool,
    /// The decisions about the rows and the columns. Empty for [`DecidedAction::Describe`].
    pub parts: Vec<DecidedPart>,
    /// The version of the policies, if any decided.
    pub policy_version: Option<String>,
    /// The next instant at which the decision may change, in milliseconds since 1970, if it depends on time.
    pub valid_until: Option<i64>,
}

/// The decision about the rows or about a column of a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecidedPart {
    /// The column; `None` for the rows.
    pub column: Option<String>,
    /// The decision, such as `filtered`, or the text of the refusal.
    pub decision: String,
    /// The names of the rules that decided.
    pub decided_by: Vec<String>,
}

impl PortDecision {
    /// Returns a decision about the rows alone, without the names of rules.
    pub fn of_rows(port: PortRef, is_permitted: bool, decision: impl Into<String>) -> Self {
        let rows = DecidedPart { column: None, decision: decision.into(), decided_by: vec![] };
        Self { port, is_permitted, parts: vec![rows], policy_version: None, valid_until: None }
    }
}
