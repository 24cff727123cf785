//! A plan with the site of each operator, as the place pass returns it and EXPLAIN shows it.

use std::collections::BTreeSet;
use std::fmt;

use datafusion::logical_expr::LogicalPlan;
use portolan_catalog::DomainName;
use portolan_connectors::{Refusal, SiteId};

use super::{Decision, Edge};
use crate::names::Barrier;

/// The site of an operator.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SiteChoice {
    /// Any site: the operator reads no port.
    Anywhere,
    /// This process.
    Here,
    /// Another site, such as another node or a database.
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
    /// The inputs are at several sites: each side in words, and the rules about the places of values that restrict how
    /// they are combined.
    Combines { sides: Vec<String>, rules: Vec<String> },
    /// Several readers choose other columns of the same rows.
    SharedRows,
    /// The order of the rows must reach the result.
    Order,
    /// The fragment cannot be written in its wire form: the error.
    Unwritable(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PlacementOff => f.write_str("portolan.placement is off"),
            Self::PushdownOff => f.write_str("portolan.pushdown is scans"),
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Cost => f.write_str("it costs less here than there"),
            Self::Combines { sides, rules } => {
                write!(f, "combines {}", sides.join(" with "))?;
                rules.iter().try_for_each(|rule| write!(f, "; {rule}"))
            }
            Self::SharedRows => f.write_str("its rows are fetched once for several readers"),
            Self::Order => f.write_str("its order must reach the result"),
            Self::Unwritable(error) => f.write_str(error),
        }
    }
}

/// An operator with its site and its reason, and its inputs in the same form.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    /// The operator with everything below it, as it was before the cut.
    pub(crate) plan: LogicalPlan,
    pub(crate) site: SiteChoice,
    /// The reason why the operator runs here although an owner holds an input; `None` if nothing needs a reason.
    pub(crate) reason: Option<Reason>,
    pub(crate) inputs: Vec<Placed>,
    /// The subqueries in its expressions, in the order of `LogicalPlan::apply_subqueries`.
    pub(crate) subqueries: Vec<Placed>,
    /// The domains whose ports the operator and everything below read.
    pub(crate) domains: BTreeSet<DomainName>,
    /// The expected number of rows.
    pub(crate) rows: f64,
    /// The decision, if the operator combines sites.
    pub(crate) decision: Option<Decision>,
    /// The edge over which the operator's rows come here, if they cross one.
    pub(crate) edge: Option<Edge>,
    /// The number of the fragment whose root the operator is; set by the cut.
    pub(crate) fragment: Option<usize>,
    /// The shared part whose root the operator is; set by the pass that shares.
    pub(crate) shared: Option<SharedMark>,
}

/// The root of a shared part, in one of the places where the part is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SharedMark {
    /// The number of the part.
    pub(crate) number: usize,
    /// The number of readers, at the one place that has the operators of the part. `None` at the others.
    pub(crate) readers: Option<usize>,
    /// True if the expected number of rows rests on that of a barrier.
    is_assumed: bool,
}

impl Placed {
    /// Returns the operator that is the root of a fragment.
    pub(crate) fn fragment_root(&self, number: usize) -> Option<&Self> {
        if self.fragment == Some(number) {
            return Some(self);
        }
        self.inputs.iter().chain(&self.subqueries).find_map(|part| part.fragment_root(number))
    }

    /// Marks the operator as the root of a shared part.
    pub(crate) fn share_as(&mut self, part: usize, readers: usize) {
        self.shared = Some(SharedMark { number: part, readers: Some(readers), is_assumed: self.is_assumed() });
    }

    /// Makes the operator a reference to a shared part, whose operators are shown elsewhere.
    pub(crate) fn refer_to(&mut self, part: usize) {
        self.shared = Some(SharedMark { number: part, readers: None, is_assumed: self.is_assumed() });
        self.fragment = None;
        self.inputs.clear();
        self.subqueries.clear();
        (self.reason, self.decision) = (None, None);
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
        self.subqueries.iter().chain(self.shown_inputs()).try_for_each(|part| part.write(depth + 1, f))
    }
}

/// Writes one operator a line, with its site and the reason.
impl Placed {
    /// Returns the inputs that EXPLAIN may show: none below a barrier.
    pub(crate) fn shown_inputs(&self) -> &[Self] {
        if Barrier::of(&self.plan).is_some() { &[] } else { &self.inputs }
    }

    /// True if the expected number of rows rests on that of a barrier, which is the same for every port.
    pub(crate) fn is_assumed(&self) -> bool {
        let is_shared = self.shared.is_some_and(|mark| mark.is_assumed);
        is_shared || Barrier::of(&self.plan).is_some() || self.inputs.iter().any(Self::is_assumed)
    }
}

impl fmt::Display for Placed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(0, f)
    }
}
