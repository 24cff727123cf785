//! The ports that a principal sees in catalogs, by the decisions on the action `describe`.

use portolan_catalog::PortRef;

use crate::decision::{Action, Decision};
use crate::policies::{Policies, PortEntry};

impl Policies {
    /// True if a rule can hide a port from some principals: a `forbid` whose scope admits `describe`, or a `permit` that
    /// names this action. All principals see any other port in catalogs, so that they can ask its owner for access.
    pub fn may_hide(&self, port: &PortRef) -> bool {
        self.ports.get(port).is_some_and(|entry| self.describes(entry).next().is_some())
    }

    /// True if a principal sees a port in catalogs. `decision` is the decision on `describe` for the principal.
    ///
    /// A `forbid` hides the port. So does the lack of a permit, if some permit of the port names `describe`: then the
    /// owner has listed those who see the port. A closed port is hidden from everybody if a rule might hide it, because
    /// the rule cannot be applied.
    pub fn shows(&self, port: &PortRef, decision: &Decision) -> bool {
        match decision {
            Decision::Open | Decision::Governed(_) => true,
            Decision::Denied(denial) => {
                denial.rules.is_empty() && self.ports.get(port).is_some_and(|entry| !self.lists(entry))
            }
            Decision::Closed(_) => !self.may_hide(port),
        }
    }

    /// True if a permit of the port names the action.
    fn lists(&self, entry: &PortEntry) -> bool {
        self.describes(entry).any(|is_permit| is_permit)
    }

    /// Returns the rules about describing the port: true for a permit that names the action, false for a forbid.
    fn describes<'a>(&'a self, entry: &'a PortEntry) -> impl Iterator<Item = bool> + 'a {
        let rules = entry.rules.iter().filter_map(move |i| self.rules.get(*i));
        rules.filter_map(|rule| {
            let actions = &rule.scope.actions;
            // A permit of every action says nothing about who may know of the port.
            let is_about =
                actions.contains(&Action::Describe) && (!rule.is_permit || actions.len() < Action::ALL.len());
            is_about.then_some(rule.is_permit)
        })
    }
}
