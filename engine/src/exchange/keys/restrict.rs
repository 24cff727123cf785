//! Applies the restrictions of joins' filters to a fragment. It chooses a form for each join's keys, adds the keys as a
//! filter on top of the fragment's plan, and encodes the plan. A restriction that cannot be written is left out: the
//! local join then drops the rows.

use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, Filter, LogicalPlan, lit};
use portolan_connectors::FragmentPlan;

use super::form::{FORCED_LITERALS, Figures, LITERALS};
use super::restriction::{Body, Condition, Restriction};
use super::set::KeySet;
use crate::encode::keys::{InKeys, SQL_KEYS, SentKeys, can_list, list, travels};
use crate::encode::write;
use crate::mesh::MeshView;
use crate::plan::{Fragment, KeyPlan};
use crate::planner::cardinality::{Cardinality, estimate, has_key};
use portolan_connectors::KeyForm;

/// A fragment as the request to its owner will have it.
#[derive(Debug, Default)]
pub(in crate::exchange) struct Restricted {
    /// The plan with a filter for keys on top; `None` if there is nothing to filter by.
    pub(in crate::exchange) sent: Option<FragmentPlan>,
    pub(in crate::exchange) forms: Vec<KeyForm>,
    /// The number of keys of the join that has the fewest.
    pub(in crate::exchange) keys: Option<usize>,
    /// The reasons why keys are not sent, join by join.
    pub(in crate::exchange) reasons: Vec<String>,
}

/// Applies restrictions to a fragment, with at most `limit` bytes of keys next to the plan.
pub(in crate::exchange) fn restrict(
    fragment: &Fragment,
    plan: &KeyPlan,
    restrictions: &[Restriction],
    limit: usize,
    view: &Arc<MeshView>,
) -> Restricted {
    let expected = estimate(&fragment.plan);
    let forms = view.capabilities(&fragment.site).key_forms;
    // A forced form that the site does not accept has no effect.
    let forced = plan.form.filter(|form| forms.contains(form));
    let result = Restricted::default();
    let mut writer = Writer { fragment, plan, forms, forced, expected, room: limit, left: 1.0, result };
    let tests: Vec<_> = restrictions.iter().filter_map(|r| writer.write(r)).collect();
    let mut result = writer.result;
    let Some(predicate) = tests.into_iter().reduce(Expr::and) else { return result };
    let filtered = Filter::try_new(predicate, Arc::new(fragment.plan.clone()))
        .map_err(|e| e.strip_backtrace())
        .and_then(|f| write(&LogicalPlan::Filter(f), &fragment.site, view).map_err(|e| e.context().to_owned()));
    match filtered {
        Ok(sent) => result.sent = Some(sent),
        Err(reason) => {
            result.forms.clear();
            result.reasons.push(reason);
        }
    }
    result
}

struct Writer<'a> {
    fragment: &'a Fragment,
    plan: &'a KeyPlan,
    /// The forms that the site accepts.
    forms: &'static [KeyForm],
    /// The form that a setting forces.
    forced: Option<KeyForm>,
    /// The estimate of the fragment's rows.
    expected: Cardinality,
    /// Bytes that keys may still take.
    room: usize,
    /// The share of the fragment's rows that pass the tests so far.
    left: f64,
    result: Restricted,
}

impl Writer<'_> {
    /// Returns a test for rows that pass a join's filter; `None` if the test does not pay or cannot be written.
    fn write(&mut self, restriction: &Restriction) -> Option<Expr> {
        let nulls = restriction.nulls.iter().map(|c| Some(c.of(&self.fragment.plan)?.0.is_null()));
        let Some(nulls) = nulls.collect::<Option<Vec<_>>>() else {
            return self.refuse("a key is computed at its owner".to_owned());
        };
        let test = match &restriction.body {
            Body::Nothing => lit(false),
            Body::All(conditions) if conditions.is_empty() => {
                return self.refuse("the join did not report its keys".to_owned());
            }
            Body::All(conditions) => self.conditions(conditions)?,
        };
        match (nulls.into_iter().reduce(Expr::or), &restriction.body) {
            (Some(nulls), Body::Nothing) => Some(nulls),
            (Some(nulls), _) => Some(nulls.or(test)),
            (None, _) => Some(test),
        }
    }

    fn refuse(&mut self, reason: String) -> Option<Expr> {
        self.result.reasons.push(reason);
        None
    }

    fn conditions(&mut self, conditions: &[Condition]) -> Option<Expr> {
        let ranges = self.ranges(conditions);
        let mut tests = vec![];
        for condition in conditions {
            if let Condition::Keys { columns, values } = condition {
                let known = columns.iter().map(|c| c.of(&self.fragment.plan)).collect::<Option<(Vec<_>, Vec<_>)>>();
                let Some((columns, types)) = known else {
                    return self.refuse("a key is computed at its owner".to_owned());
                };
                match KeySet::new(values, &types) {
                    Ok(keys) => tests.extend(self.keys(&columns, &keys, &ranges)),
                    Err(reason) => return self.refuse(reason),
                }
            }
        }
        if !conditions.iter().any(|c| matches!(c, Condition::Keys { .. })) {
            return self.only_range(ranges);
        }
        tests.into_iter().reduce(Expr::and)
    }

    /// Returns a test for the range of the keys. The keys are too many for the join to list.
    fn only_range(&mut self, ranges: Ranges) -> Option<Expr> {
        let keys = if self.plan.keys >= 1.0 { self.plan.keys } else { f64::MAX };
        let figures = Figures {
            keys: keys as usize,
            key_bytes: 8.0,
            most_literals: 0,
            span: ranges.span,
            batch: None,
            bloom: None,
            probe_distinct: self.plan.probe_distinct,
            matched: None,
            left: self.left,
        };
        let wanted = match self.forced {
            Some(form) => form == KeyForm::Range,
            None => figures.only_range_pays(&self.fragment.edge),
        };
        match ranges.tests.into_iter().reduce(Expr::and) {
            Some(test) if wanted => {
                self.result.forms.push(KeyForm::Range);
                Some(test)
            }
            _ => self.refuse("there are more keys than are listed".to_owned()),
        }
    }

    /// Returns the number of distinct keys of these columns in the fragment. Each join has its own columns, and the key
    /// plan is for one join.
    fn probe_distinct(&self, columns: &[Expr]) -> f64 {
        let distinct = |column: &Expr| match column {
            Expr::Column(column) => self.expected.columns.get(column)?.distinct,
            _ => None,
        };
        match columns.iter().map(distinct).collect::<Option<Vec<u64>>>() {
            Some(each) => each.into_iter().map(|d| d as f64).product::<f64>().min(self.expected.rows).max(1.0),
            None => self.plan.probe_distinct,
        }
    }

    /// Returns tests for the smallest and the largest keys.
    fn ranges(&self, conditions: &[Condition]) -> Ranges {
        let mut ranges = Ranges { tests: vec![], span: None };
        let (mut least, mut most) = (None, None);
        let mut columns = std::collections::HashSet::new();
        for condition in conditions {
            let (column, value) = match condition {
                Condition::AtLeast(column, value) | Condition::AtMost(column, value) => (column, value),
                Condition::Keys { .. } => continue,
            };
            let Some((expr, data_type)) = column.of(&self.fragment.plan) else { continue };
            if value.data_type() != data_type || !travels(&data_type) {
                continue;
            }
            columns.insert(column);
            ranges.tests.push(match condition {
                Condition::AtLeast(..) => {
                    least = number(value);
                    expr.gt_eq(lit(value.clone()))
                }
                _ => {
                    most = number(value);
                    expr.lt_eq(lit(value.clone()))
                }
            });
        }
        if columns.len() == 1 {
            ranges.span = least.zip(most).map(|(least, most)| most - least + 1.0);
        }
        ranges
    }

    fn keys(&mut self, columns: &[Expr], keys: &KeySet, ranges: &Ranges) -> Option<Expr> {
        self.result.keys = Some(self.result.keys.map_or(keys.keys, |k| k.min(keys.keys)));
        if keys.keys == 0 {
            // No value can be equal to any of them.
            return Some(lit(false));
        }
        let forced = self.forced;
        let packs = |form| forced.is_none_or(|f| f == form) && self.forms.contains(&form);
        let fits = |sent: crate::Result<Arc<SentKeys>>| sent.ok().filter(|s| s.packed.len() <= self.room);
        let batch = packs(KeyForm::Batch).then(|| fits(SentKeys::batch(&keys.columns))).flatten();
        let bloom = packs(KeyForm::Bloom).then(|| fits(SentKeys::bloom(&keys.columns))).flatten();
        let bytes: usize = keys.columns.iter().map(|c| c.get_array_memory_size()).sum();
        let figures = Figures {
            keys: keys.keys,
            key_bytes: bytes as f64 / keys.keys as f64,
            most_literals: match self.forms.contains(&KeyForm::Batch) {
                _ if !can_list(&keys.columns) => 0,
                false if columns.len() == 1 => SQL_KEYS,
                _ => LITERALS,
            },
            span: ranges.span.filter(|_| columns.len() == 1),
            batch: batch.as_ref().map(|b| b.packed.len()),
            bloom: bloom.as_ref().map(|b| b.packed.len()),
            probe_distinct: self.probe_distinct(columns),
            matched: match (columns, keys.columns.as_slice()) {
                ([column], [keys]) => has_key(&self.expected, column, keys),
                _ => None,
            },
            left: self.left,
        };
        let form = forced.or_else(|| figures.cheapest(&self.fragment.edge)).filter(|form| self.forms.contains(form));
        let Some(form) = form else {
            return self.refuse("to send them would cost more than to send all rows".to_owned());
        };
        let call = |sent: Arc<SentKeys>| InKeys::call(sent, columns.to_vec());
        let range = ranges.tests.iter().cloned();
        let (sent, test) = match form {
            KeyForm::Literals => (None, literals(columns, keys, figures.most_literals)),
            KeyForm::Range => (None, range.clone().reduce(Expr::and)),
            KeyForm::Batch => (batch.clone(), batch.map(call)),
            KeyForm::Bloom => (bloom.clone(), bloom.map(call)),
        };
        let Some(test) = test else {
            return self.refuse(format!("{} keys do not fit into this form", keys.keys));
        };
        self.room -= sent.map_or(0, |s| s.packed.len().min(self.room));
        self.left *= figures.left_by(form, &self.fragment.edge);
        self.result.forms.push(form);
        // A range in addition lets the owner skip whole parts of its files.
        let beside = range.filter(|_| matches!(form, KeyForm::Batch | KeyForm::Bloom));
        Some(beside.fold(test, Expr::and))
    }
}

/// The tests for the smallest and the largest keys.
struct Ranges {
    tests: Vec<Expr>,
    /// The number of values between them, if there is one column and its values can be counted.
    span: Option<f64>,
}

fn number(value: &ScalarValue) -> Option<f64> {
    let counts = value.data_type().is_integer() || value.data_type() == arrow::datatypes::DataType::Date32;
    match value.cast_to(&arrow::datatypes::DataType::Float64).ok().filter(|_| counts) {
        Some(ScalarValue::Float64(number)) => number,
        _ => None,
    }
}

/// Returns `k IN (1, 2)`, or `(a = 1 AND b = 2) OR …` for keys of several columns.
fn literals(columns: &[Expr], keys: &KeySet, most: usize) -> Option<Expr> {
    if let ([column], [values]) = (columns, keys.columns.as_slice()) {
        return (keys.keys <= most.max(FORCED_LITERALS)).then(|| list(column, values)).flatten();
    }
    if keys.keys > LITERALS || !can_list(&keys.columns) {
        return None;
    }
    let value = |column: usize, row| ScalarValue::try_from_array(keys.columns.get(column)?, row).ok().map(lit);
    let row = |row| {
        let equal = columns.iter().enumerate().map(|(i, c)| Some(c.clone().eq(value(i, row)?)));
        equal.collect::<Option<Vec<_>>>()?.into_iter().reduce(Expr::and)
    };
    (0..keys.keys).map(row).collect::<Option<Vec<_>>>()?.into_iter().reduce(Expr::or)
}
