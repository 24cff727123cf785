//! Decisions: what a principal may do with a port, and see of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use crate::condition::Condition;
use crate::mask::Mask;

/// An action on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Reading rows. Rules on columns are about this action.
    Read,
    /// Inserting rows. The filter of the decision is a check on new rows.
    Insert,
    /// Seeing the port and its columns in catalogs. Whoever may read a port may describe it, unless a `forbid` on
    /// `describe` matches. Conditions on rows count as true in a `permit`, and as false in a `forbid`.
    Describe,
}

/// A decision. It is valid for one version of the policies.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Neither the product nor the mesh has a rule about the port: everybody has access.
    Open,
    /// The policies of the port cannot be applied: nobody has access. The text says why and what to do.
    Closed(String),
    /// This principal has no access.
    Denied(Arc<Denial>),
    /// This principal has access to the rows that the filter keeps, without hidden columns.
    Governed(Arc<Governed>),
}

/// A refusal.
#[derive(Clone, Debug, PartialEq)]
pub struct Denial {
    /// The text for the principal. It names principal, port and owner, and nothing of a policy.
    pub message: String,
    /// The rules that forbade the access, for audit. Empty if no rule permits it.
    pub rules: Vec<String>,
    /// The next instant at which the decision may change, if it depends on time.
    pub valid_until: Option<SystemTime>,
}

/// The rows and columns that a principal may see.
#[derive(Clone, Debug, PartialEq)]
pub struct Governed {
    /// The filter, which keeps the rows for which it is TRUE. `None` keeps all rows. The filter reads original values:
    /// also of columns that are hidden or masked.
    pub filter: Option<Condition>,
    /// The rules of columns. [`Governed::rule`] also knows the columns that the port did not have when it was decided.
    pub columns: BTreeMap<String, ColumnRule>,
    /// All columns of the port that the decision is about.
    pub known: BTreeSet<String>,
    /// The version of the policies: a digest.
    pub version: String,
    /// The next instant at which the decision may change, if it depends on time.
    pub valid_until: Option<SystemTime>,
    /// The rules that decided.
    pub reasons: Reasons,
}

/// A rule of a column. The greater rule discloses less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ColumnRule {
    /// The column's values are masked.
    Masked(Mask),
    /// The column does not exist for this principal.
    Hidden,
}

/// The names of the rules that decided, for explanations and for audit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reasons {
    /// The rules that permit rows, or may.
    pub permits: Vec<String>,
    /// The rules that forbid some rows.
    pub forbids: Vec<String>,
    /// For each column with a rule, the rules that hide or mask it.
    pub columns: BTreeMap<String, Vec<String>>,
}

impl Action {
    /// All actions.
    pub const ALL: [Self; 3] = [Self::Read, Self::Insert, Self::Describe];

    /// Returns the name of the action in policies.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Insert => "insert",
            Self::Describe => "describe",
        }
    }

    /// Returns the verb for messages.
    pub(crate) fn verb(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Insert => "insert into",
            Self::Describe => "describe",
        }
    }
}

impl Decision {
    /// Returns the next instant at which the decision may change, if it depends on time.
    pub fn valid_until(&self) -> Option<SystemTime> {
        match self {
            Self::Open | Self::Closed(_) => None,
            Self::Denied(denial) => denial.valid_until,
            Self::Governed(governed) => governed.valid_until,
        }
    }

    /// Returns the text of the refusal, if the decision refuses access.
    pub fn refusal(&self) -> Option<&str> {
        match self {
            Self::Closed(reason) => Some(reason),
            Self::Denied(denial) => Some(&denial.message),
            Self::Open | Self::Governed(_) => None,
        }
    }
}

impl Governed {
    /// Returns the rule of a column; `None` for one that is visible. A column that the decision does not know is hidden.
    pub fn rule(&self, column: &str) -> Option<ColumnRule> {
        match self.known.contains(column) {
            true => self.columns.get(column).copied(),
            false => Some(ColumnRule::Hidden),
        }
    }

    /// True if the principal sees everything that the decision is about.
    pub fn is_open(&self) -> bool {
        self.filter.is_none() && self.columns.is_empty()
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for ColumnRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Masked(mask) => write!(f, "masked by `{mask}`"),
            Self::Hidden => f.write_str("hidden"),
        }
    }
}
