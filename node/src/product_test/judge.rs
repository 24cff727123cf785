//! Decides from counts whether a rule holds. A count over a sample is the smallest possible count over all rows.

use portolan_catalog::rules::{Metric, RuleKind, Threshold};

use super::relation::Relation;
use super::report::Outcome;

/// The reason why a rule is not checked over a sample.
pub(super) const NEEDS_ALL_ROWS: &str = "a sample does not decide it, and `--full` does";

/// Decides a rule by the number of rows, or of values, that break the rule or count for its metric.
pub(super) fn judge(kind: &RuleKind, count: u64, relation: &Relation) -> (Outcome, String) {
    let rows = relation.rows;
    let RuleKind::Metric { metric, threshold, percent } = kind else {
        return match count {
            0 => (Outcome::Holds, String::new()),
            _ => (Outcome::Broken, format!("{}: {count} of {rows}", broken_by(kind))),
        };
    };
    let (result, found) = match (percent, rows) {
        (false, _) => (count as f64, format!("got {count}")),
        (true, 0) => (0.0, "got no rows".to_owned()),
        (true, _) => {
            let result = count as f64 * 100.0 / rows as f64;
            (result, format!("got {result:.3} percent, {count} of {rows} rows"))
        }
    };
    let outcome = match relation.is_complete {
        true if threshold.allows(result) => Outcome::Holds,
        true => Outcome::Broken,
        false if *percent && count > 0 => Outcome::NotChecked,
        false => of_sample(threshold, result, *metric == Metric::RowCount),
    };
    match outcome {
        Outcome::Broken => (outcome, found),
        Outcome::NotChecked => (outcome, NEEDS_ALL_ROWS.to_owned()),
        _ => (outcome, String::new()),
    }
}

/// Decides a threshold by the count over a sample. If `counts_rows` is false, the count is one of faults: a sample with as
/// few of them as expected does not break the rule.
fn of_sample(threshold: &Threshold, count: f64, counts_rows: bool) -> Outcome {
    if threshold.allows_none_from(count) {
        Outcome::Broken
    } else if threshold.allows_all_from(count) || (!counts_rows && threshold.allows(count)) {
        Outcome::Holds
    } else {
        Outcome::NotChecked
    }
}

/// Returns the rows or values that break a rule, in words.
fn broken_by(kind: &RuleKind) -> &'static str {
    match kind {
        RuleKind::Required => "rows without a value",
        RuleKind::Enum(_) => "rows with another value",
        RuleKind::Pattern(_) => "rows with a value that does not match",
        RuleKind::Bound(..) => "rows with a value out of range",
        RuleKind::Size(..) => "rows with a value of another size",
        RuleKind::MultipleOf(_) => "rows with a value that is no multiple",
        RuleKind::UniqueItems => "rows with an item that occurs more than once",
        RuleKind::References { .. } => "rows with a value that is not there",
        _ => "rows that break it",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(metric: Metric, threshold: Threshold, percent: bool, count: u64, is_complete: bool) -> Outcome {
        let relation = Relation { name: String::new(), rows: 200, is_complete };
        judge(&RuleKind::Metric { metric, threshold, percent }, count, &relation).0
    }

    #[test]
    fn all_rows_decide_a_metric() {
        let of = |threshold, percent, count| outcome(Metric::NullValues, threshold, percent, count, true);
        assert_eq!(of(Threshold::Less(3.0), false, 2), Outcome::Holds);
        assert_eq!(of(Threshold::Less(3.0), false, 3), Outcome::Broken);
        assert_eq!(of(Threshold::LessOrEqual(1.0), true, 2), Outcome::Holds);
        assert_eq!(of(Threshold::LessOrEqual(1.0), true, 3), Outcome::Broken);
        assert_eq!(of(Threshold::Greater(5.0), false, 5), Outcome::Broken);
    }

    #[test]
    fn a_sample_decides_only_what_more_rows_cannot_change() {
        let nulls = |threshold, percent, count| outcome(Metric::NullValues, threshold, percent, count, false);
        assert_eq!(nulls(Threshold::Equal(0.0), false, 0), Outcome::Holds);
        assert_eq!(nulls(Threshold::Equal(0.0), false, 1), Outcome::Broken);
        assert_eq!(nulls(Threshold::Less(3.0), false, 3), Outcome::Broken);
        assert_eq!(nulls(Threshold::Greater(3.0), false, 3), Outcome::NotChecked);
        assert_eq!(nulls(Threshold::Less(3.0), true, 1), Outcome::NotChecked);
        let rows = |threshold, count| outcome(Metric::RowCount, threshold, false, count, false);
        assert_eq!(rows(Threshold::Less(200.0), 200), Outcome::Broken);
        assert_eq!(rows(Threshold::Less(201.0), 200), Outcome::NotChecked);
        assert_eq!(rows(Threshold::GreaterOrEqual(200.0), 200), Outcome::Holds);
        assert_eq!(rows(Threshold::Greater(200.0), 200), Outcome::NotChecked);
    }

    #[test]
    fn a_percentage_of_no_rows_is_zero() {
        let relation = Relation { name: String::new(), rows: 0, is_complete: true };
        let kind = RuleKind::Metric { metric: Metric::NullValues, threshold: Threshold::Less(1.0), percent: true };
        assert_eq!(judge(&kind, 0, &relation).0, Outcome::Holds);
    }
}
