//! Decides what a caller may do with a port: evaluates the rules that its scope admits, and combines the layers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use portolan_catalog::PortRef;

use crate::agreement::Agreement;
use crate::caller::Caller;
use crate::condition::Condition;
use crate::decision::{Action, ColumnRule, Decision, Denial, Governed, Reasons};
use crate::evaluation::Evaluation;
use crate::mask::Mask;
use crate::operators::Now;
use crate::policies::{Policies, PortEntry};
use crate::rule::{Layer, Rule};
use crate::time::{from_millis, to_millis};

/// The time for which a decision is valid that depends on the current time in another way than by a comparison with
/// an instant: ten seconds, in milliseconds.
const NOW_IS_VALID_FOR: i64 = 10_000;

impl Policies {
    /// Decides what `caller` may do with `port` at the time `now`.
    ///
    /// The cost grows with the number of rules whose scopes admit the port and the caller. [`crate::DecisionCache`]
    /// keeps decisions.
    pub fn decide(&self, caller: &Caller, port: &PortRef, action: Action, now: SystemTime) -> Decision {
        let Some(entry) = self.ports.get(port) else {
            return Decision::Closed(format!("this node has no policies for the port `{port}`"));
        };
        if let Some(reason) = &entry.closed {
            return Decision::Closed(reason.clone());
        }
        if !entry.has_product_layer && !entry.has_mesh_permit && entry.rules.is_empty() && entry.classes.is_empty() {
            return Decision::Open;
        }
        if !entry.is_opened && action != Action::Describe {
            return Decision::Closed(format!(
                "the port `{port}` is closed: its data are not open, so its policies cannot be applied; ask the owner{}",
                owner(entry)
            ));
        }
        let run = || Evaluation::new(self, entry, caller, to_millis(now))?.decide(action);
        run().unwrap_or_else(|_| {
            Decision::Closed(format!(
                "the port `{port}` is closed: its policies cannot be applied to `{}`; ask the owner{}",
                caller.name,
                owner(entry)
            ))
        })
    }
}

/// The rules of columns, and the names of the policies behind them.
type Columns = (BTreeMap<String, ColumnRule>, BTreeMap<String, Vec<String>>);

/// The rows that rules admit.
struct Rows {
    filter: Condition,
    permits: Vec<String>,
    forbids: Vec<String>,
}

impl Evaluation<'_> {
    fn decide(&self, action: Action) -> Result<Decision, String> {
        let rows = self.rows(action)?;
        let valid_until = self.valid_until();
        let is_denied = |rows: &Rows| rows.filter == Condition::FALSE;
        let rows = match action {
            // Whoever may read the port may describe it, if no rule forbids the latter.
            Action::Describe if is_denied(&rows) && rows.forbids.is_empty() => {
                let read = self.rows(Action::Read)?;
                let filter = if is_denied(&read) { Condition::FALSE } else { Condition::TRUE };
                Rows { filter, permits: read.permits, forbids: vec![] }
            }
            _ => rows,
        };
        if is_denied(&rows) {
            let message = format!(
                "`{}` may not {} `{}`: ask the owner{} for access",
                self.caller.name,
                action.verb(),
                self.entry.entity.id,
                owner(self.entry)
            );
            return Ok(Decision::Denied(Arc::new(Denial { message, rules: rows.forbids, valid_until })));
        }
        let (columns, of_columns) = self.columns()?;
        Ok(Decision::Governed(Arc::new(Governed {
            filter: (rows.filter != Condition::TRUE).then_some(rows.filter),
            columns,
            known: self.entry.columns.names().map(str::to_owned).collect(),
            version: self.policies.version.clone(),
            valid_until,
            reasons: Reasons { permits: rows.permits, forbids: rows.forbids, columns: of_columns },
        })))
    }

    /// Returns the rows that both layers admit.
    fn rows(&self, action: Action) -> Result<Rows, String> {
        let admitted = |i: &usize| {
            let scope = &self.policies.rules[*i].scope;
            scope.actions.contains(&action) && scope.admits_caller(self.caller)
        };
        let admitted: Vec<usize> = self.entry.rules.iter().copied().filter(admitted).collect();
        let conditions = self.residuals(admitted, action)?;
        let conditions = conditions.into_iter().map(|(i, c)| Ok((&self.policies.rules[i], c?)));
        let mut conditions = conditions.collect::<Result<Vec<_>, String>>()?;
        if action == Action::Describe {
            for (rule, condition) in &mut conditions {
                *condition = without_rows(rule.is_permit, condition);
            }
        }
        let product = self.layer(Layer::Product, self.entry.has_product_layer, action, &conditions);
        let mesh = self.layer(Layer::Mesh, self.entry.has_mesh_permit, action, &conditions);
        Ok(Rows {
            filter: Condition::all([product.filter, mesh.filter]),
            permits: [product.permits, mesh.permits].concat(),
            forbids: [product.forbids, mesh.forbids].concat(),
        })
    }

    /// Combines the rules of one layer: at least one permit is TRUE, if the layer denies by default, and every forbid
    /// is FALSE.
    fn layer(&self, layer: Layer, denies: bool, action: Action, conditions: &[(&Rule, Condition)]) -> Rows {
        let mut rows = Rows { filter: Condition::TRUE, permits: vec![], forbids: vec![] };
        let (mut permits, mut forbids) = (vec![], vec![]);
        for (rule, condition) in conditions.iter().filter(|(rule, _)| rule.layer == layer) {
            match (rule.is_permit, condition) {
                // A permit that is NULL for all rows admits none.
                (true, Condition::Constant(Some(false) | None)) | (false, Condition::Constant(Some(false))) => {}
                (true, condition) => {
                    permits.push(condition.clone());
                    rows.permits.push(rule.name.clone());
                }
                (false, condition) => {
                    forbids.push(condition.clone().negate());
                    rows.forbids.push(rule.name.clone());
                }
            }
        }
        if action != Action::Insert {
            for agreement in self.agreements(layer).filter(|agreement| agreement.is_valid(self.now)) {
                permits.push(Condition::TRUE);
                rows.permits.push(agreement.name.clone());
            }
        }
        let permitted = if denies { Condition::any(permits) } else { Condition::TRUE };
        rows.filter = Condition::all(std::iter::once(permitted).chain(forbids));
        // A part that is NULL for every row hides every row.
        let is_null = |filter: &Condition| match filter {
            Condition::And(parts) => parts.contains(&Condition::NULL),
            other => *other == Condition::NULL,
        };
        if is_null(&rows.filter) {
            rows.filter = Condition::FALSE;
        }
        rows
    }

    /// Returns the agreements of a layer with this caller about the port.
    fn agreements(&self, layer: Layer) -> impl Iterator<Item = &Agreement> {
        let agreements = self.entry.agreements.iter().map(|i| &self.policies.agreements[*i]);
        agreements.filter(move |agreement| agreement.layer == layer && agreement.is_with(self.caller))
    }

    /// Returns the rules of the columns, and the names of the policies behind them.
    fn columns(&self) -> Result<Columns, String> {
        let (mut rules, mut reasons) = (BTreeMap::new(), BTreeMap::new());
        for class in &self.entry.classes {
            let matched = self.matched(class)?;
            let matched: Vec<&Rule> = matched.into_iter().map(|i| &self.policies.rules[i]).collect();
            let is_hidden = matched.iter().any(|rule| rule.mask.is_none());
            let rule = match Mask::strictest(matched.iter().filter_map(|rule| rule.mask)) {
                _ if is_hidden => ColumnRule::Hidden,
                Some(mask) => ColumnRule::Masked(mask),
                None => continue,
            };
            let names: Vec<String> = matched.iter().map(|rule| rule.name.clone()).collect();
            for column in &class.columns {
                rules.insert(column.clone(), rule);
                reasons.insert(column.clone(), names.clone());
            }
        }
        Ok((rules, reasons))
    }

    /// Returns the next instant at which a decision about the port may change for this caller.
    fn valid_until(&self) -> Option<SystemTime> {
        let agreements = [Layer::Product, Layer::Mesh].into_iter().flat_map(|layer| self.agreements(layer));
        let changes = agreements.filter_map(|agreement| agreement.next_change(self.now));
        let rules = self.entry.rules.iter().chain(self.entry.classes.iter().flat_map(|class| &class.rules));
        let rules = rules.map(|i| &self.policies.rules[*i]).filter(|rule| rule.scope.admits_caller(self.caller));
        let of_rules = rules.flat_map(|rule| match &rule.mentions.now {
            Now::Unused => vec![],
            // `now <= instant` and `now == instant` change one millisecond after the instant.
            Now::Compared(instants) => instants.iter().flat_map(|at| [*at, at + 1]).collect(),
            Now::Other => vec![self.now + NOW_IS_VALID_FOR],
        });
        from_millis(changes.chain(of_rules).filter(|at| *at > self.now).min()?)
    }
}

/// Returns the condition of a rule on describing: rows do not matter.
fn without_rows(is_permit: bool, condition: &Condition) -> Condition {
    match (is_permit, condition) {
        (true, Condition::Constant(Some(false) | None)) | (false, Condition::Constant(Some(false))) => Condition::FALSE,
        (true, _) | (false, Condition::Constant(_)) => Condition::TRUE,
        (false, _) => Condition::FALSE,
    }
}

fn owner(entry: &PortEntry) -> String {
    entry.owner.as_ref().map(|owner| format!(" (`{owner}`)")).unwrap_or_default()
}
