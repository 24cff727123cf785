//! Decisions at a later time: whether what a query was planned by still holds, and when decisions may have changed.

use std::time::SystemTime;

use crate::condition::{Condition, Literal, Operand};
use crate::decision::Governed;
use crate::operators::Now;
use crate::policies::Policies;
use crate::time::to_millis;

impl Governed {
    /// True if everything that a query shows which was planned by this decision may still be shown by the decision `now`.
    ///
    /// A condition whose instants move with the time holds. Otherwise it would end each query after some seconds.
    pub fn still_holds(&self, now: &Self) -> bool {
        let has_rows = match (&self.filter, &now.filter) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(before), Some(now_filter)) => {
                before == now_filter || (self.version == now.version && differ_by_instants(before, now_filter))
            }
        };
        has_rows && now.columns.iter().all(|(column, rule)| self.columns.get(column) == Some(rule))
    }
}

/// True if two conditions differ by the instants in them alone.
fn differ_by_instants(a: &Condition, b: &Condition) -> bool {
    let all =
        |a: &[Condition], b: &[Condition]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| differ_by_instants(a, b));
    match (a, b) {
        (
            Condition::Compare { left, op, right },
            Condition::Compare { left: other_left, op: other_op, right: other_right },
        ) => op == other_op && same_operand(left, other_left) && same_operand(right, other_right),
        (Condition::And(a), Condition::And(b)) | (Condition::Or(a), Condition::Or(b)) => all(a, b),
        (Condition::Not(a), Condition::Not(b)) => differ_by_instants(a, b),
        (a, b) => a == b,
    }
}

fn same_operand(a: &Operand, b: &Operand) -> bool {
    let is_instant = |operand: &Operand| matches!(operand, Operand::Literal(Literal::Datetime(_)));
    a == b || (is_instant(a) && is_instant(b))
}

impl Policies {
    /// Returns a text that changes when a decision about any port may change: with the policies, and when an agreement
    /// begins or ends, or an instant passes that a rule compares the time with. Rules that depend on time in another way
    /// do not change it.
    pub fn state_at(&self, now: SystemTime) -> String {
        let now = to_millis(now);
        let agreements = self.agreements.iter().map(|agreement| agreement.changes_until(now));
        let rules = self.rules.iter().map(|rule| match &rule.mentions.now {
            // `now <= instant` changes one millisecond after the instant.
            Now::Compared(instants) => instants.iter().flat_map(|at| [*at, at + 1]).filter(|at| *at <= now).count(),
            Now::Unused | Now::Other => 0,
        });
        let passed: usize = agreements.chain(rules).sum();
        format!("{}:{passed}", self.version)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::condition::Comparison;
    use crate::decision::{ColumnRule, Reasons};
    use crate::mask::Mask;

    fn governed(version: &str, filter: Option<Condition>, hidden: &[&str]) -> Governed {
        Governed {
            filter,
            columns: hidden.iter().map(|name| ((*name).to_owned(), ColumnRule::Hidden)).collect(),
            known: ["a", "b", "day"].map(str::to_owned).into(),
            version: version.to_owned(),
            valid_until: None,
            reasons: Reasons::default(),
        }
    }

    fn compared(literal: Literal) -> Condition {
        Condition::Compare {
            left: Operand::Column("day".to_owned()),
            op: Comparison::Greater,
            right: Operand::Literal(literal),
        }
    }

    #[test]
    fn a_decision_holds_if_it_shows_no_more_than_the_later_one() {
        let one = |version, hidden| governed(version, Some(compared(Literal::Long(1))), hidden);
        assert!(one("1", &["a"]).still_holds(&one("2", &["a"])), "another version with the same rules");
        assert!(one("1", &["a"]).still_holds(&governed("2", None, &[])), "all rows, and all columns");
        assert!(!governed("1", None, &[]).still_holds(&one("2", &[])), "fewer rows");
        assert!(!one("1", &[]).still_holds(&governed("2", Some(compared(Literal::Long(2))), &[])), "other rows");
        assert!(!one("1", &["a"]).still_holds(&one("1", &["a", "b"])), "a column is hidden");
        let masked = Governed {
            columns: BTreeMap::from([("a".to_owned(), ColumnRule::Masked(Mask::ReplaceWithNull))]),
            ..one("1", &[])
        };
        assert!(!masked.still_holds(&one("1", &["a"])), "a masked column is hidden");
    }

    #[test]
    fn instants_that_move_with_the_time_hold_for_one_version() {
        let at = |instant| Condition::And(vec![Condition::Not(Box::new(compared(Literal::Datetime(instant))))]);
        let before = governed("1", Some(at(5)), &[]);
        assert!(before.still_holds(&governed("1", Some(at(6)), &[])));
        assert!(!before.still_holds(&governed("2", Some(at(6)), &[])), "somebody may have changed the instant");
        let shorter = governed("1", Some(Condition::And(vec![])), &[]);
        assert!(!before.still_holds(&shorter), "a part of the condition is gone");
    }
}
