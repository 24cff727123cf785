//! A plan with the site of each operator, as placing leaves it and EXPLAIN shows it.

use std::collections::BTreeSet;
use std::fmt;

use datafusion::logical_expr::LogicalPlan;
use portolan_catalog::DomainName;
use portolan_connectors::{Refusal, SiteId};

use super::{Decision, Edge};

/// Where an operator runs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SiteChoice {
    /// Wherever it is needed: it reads no port.
    Anywhere,
    /// In this process.
    Here,
    /// At another site, such as another node or a database.
    Site(SiteId),
}

/// The reason why an operator runs in this process although another site has an input.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reason {
    /// `portolan.placement` is off.
    PlacementOff,
    /// `portolan.pushdown` is `scans`.
    PushdownOff,
    /// The site refuses the operator or one below it.
    Refused(Refusal),
    /// It costs less here.
    Cost,
    /// The inputs are at several sites: each side in words.
    Combines(Vec<String>),
    /// The order of the rows must reach the result.
    Order,
    /// The fragment cannot be written in the form in which it travels: the error.
    Unwritable(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PlacementOff => f.write_str("portolan.placement is off"),
            Self::PushdownOff => f.write_str("portolan.pushdown is scans"),
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Cost => f.write_str("it costs less here than there"),
            Self::Combines(sides) => write!(f, "combines {}", sides.join(" with ")),
            Self::Order => f.write_str("its order must reach the result"),
            Self::Unwritable(error) => f.write_str(error),
        }
    }
}

/// An operator with its site, its reason, and its inputs likewise.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    /// The operator with everything below it, as it was before the cut.
    pub(crate) plan: LogicalPlan,
    pub(crate) site: SiteChoice,
    /// Why it runs here though an owner holds an input; `None` where nothing needs a reason.
    pub(crate) reason: Option<Reason>,
    pub(crate) inputs: Vec<Placed>,
    /// The subqueries in its expressions, in the order of `LogicalPlan::apply_subqueries`.
    pub(crate) subqueries: Vec<Placed>,
    /// The domains whose ports it reads, with everything below it.
    pub(crate) domains: BTreeSet<DomainName>,
    /// How many rows it is expected to give.
    pub(crate) rows: f64,
    /// What was decided where it combines sites.
    pub(crate) decision: Option<Decision>,
    /// How its rows come here, where they do.
    pub(crate) edge: Option<Edge>,
    /// The number of the fragment that it is the root of; set by the cut.
    pub(crate) fragment: Option<usize>,
}

impl Placed {
    /// The operator that is the root of a fragment.
    pub(crate) fn fragment_root(&self, number: usize) -> Option<&Self> {
        if self.fragment == Some(number) {
            return Some(self);
        }
        self.inputs.iter().chain(&self.subqueries).find_map(|part| part.fragment_root(number))
    }

    fn write(&self, depth: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if depth > 0 {
            writeln!(f)?;
        }
        write!(f, "{:indent$}{}", "", self.plan.display(), indent = depth * 2)?;
        match (&self.site, &self.reason) {
            (SiteChoice::Anywhere, _) => {}
            (SiteChoice::Here, Some(reason)) => write!(f, "  [here: {reason}]")?,
            (SiteChoice::Here, None) => write!(f, "  [here]")?,
            (SiteChoice::Site(site), _) => write!(f, "  [at {site}]")?,
        }
        // The order of the operators in `LogicalPlan::display_indent`.
        self.subqueries.iter().chain(&self.inputs).try_for_each(|part| part.write(depth + 1, f))
    }
}

/// One operator a line, with its site and the reason.
impl fmt::Display for Placed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(0, f)
    }
}
