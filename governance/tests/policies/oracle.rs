//! Random policies and rows, decided here and by Cedar itself.

use std::collections::HashSet;

use cedar_policy::{
    AuthorizationError, Authorizer, Context, Decision as CedarDecision, Entities, Entity, EntityUid, PolicySet,
    Request, RestrictedExpression,
};
use portolan_governance::{Caller, Literal};
use rand::Rng;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::fixtures::{Row, policies, read, shows, text};

const REGIONS: [&str; 4] = ["EU", "US", "E*", ""];
const PORT: &str = "sales::orders::orders::\"sales.orders.orders\"";

fn pick(random: &mut StdRng, from: &[&'static str]) -> &'static str {
    from[random.random_range(0..from.len())]
}

pub fn random_row(random: &mut StdRng) -> Row {
    let mut row: Row = [("id", Literal::Long(random.random_range(0..4)))].into();
    if random.random_bool(0.7) {
        row.insert("region", text(pick(random, &REGIONS)));
    }
    if random.random_bool(0.7) {
        row.insert("amount", Literal::Long(random.random_range(-2..3)));
    }
    if random.random_bool(0.7) {
        row.insert("open", Literal::Bool(random.random_bool(0.5)));
    }
    if random.random_bool(0.7) {
        row.insert("day", Literal::Datetime(random.random_range(20_452..20_456) * 86_400_000));
    }
    if random.random_bool(0.7) {
        row.insert("price", Literal::Decimal(random.random_range(0..4) * 10_000));
    }
    row
}

pub fn random_caller(random: &mut StdRng) -> Caller {
    let mut caller = Caller::new(pick(random, &["ann", "bob"]));
    if random.random_bool(0.5) {
        caller = caller.with_groups(["analysts"]);
    }
    if random.random_bool(0.6) {
        let regions = REGIONS.iter().filter(|_| random.random_bool(0.5)).copied().collect::<Vec<_>>();
        caller = caller.with_attribute("region", regions);
    }
    if random.random_bool(0.5) {
        caller = caller.with_purpose(pick(random, &["fraud", "marketing"]));
    }
    caller
}

/// Returns a random policy, often with a condition that depends on the row.
pub fn random_policy(random: &mut StdRng, depth: u32) -> String {
    let effect = if random.random_bool(0.7) { "permit" } else { "forbid" };
    let principal =
        pick(random, &["principal", "principal", "principal == User::\"ann\"", "principal in Group::\"analysts\""]);
    let clause = if random.random_bool(0.8) { "when" } else { "unless" };
    let condition = condition(random, depth);
    format!("{effect}({principal}, action, resource is sales::orders::orders) {clause} {{ {condition} }};\n")
}

fn condition(random: &mut StdRng, depth: u32) -> String {
    if depth == 0 {
        return leaf(random);
    }
    let mut part = || condition(random, depth - 1);
    let (a, b, c) = (part(), part(), part());
    match random.random_range(0..6) {
        0 | 1 => format!("({a} && {b})"),
        2 | 3 => format!("({a} || {b})"),
        4 => format!("!({a})"),
        _ => format!("(if {a} then {b} else {c})"),
    }
}

fn leaf(random: &mut StdRng) -> String {
    let op = pick(random, &["==", "!=", "<", "<=", ">", ">="]);
    let equal = pick(random, &["==", "!="]);
    let number = random.random_range(-1..3);
    let region = pick(random, &["EU", "US"]);
    match random.random_range(0..16) {
        0 => format!("resource.id {op} {number}"),
        1 => format!("{number} {op} resource.id"),
        2 => format!("(resource has region && resource.region {equal} \"{region}\")"),
        3 => "(resource has region && resource.region like \"E*\")".into(),
        4 => r#"(resource has region && resource.region like "*\**")"#.into(),
        5 => format!("(resource has amount && resource.amount {op} {number})"),
        6 => format!("(resource has amount && resource.amount {op} resource.id)"),
        7 => "(resource has open && resource.open)".into(),
        8 => "(resource has day && resource.day < context.now)".into(),
        9 => "(resource has price && resource.price.greaterThanOrEqual(decimal(\"2.0\")))".into(),
        10 => "(principal.hasTag(\"region\") && resource has region && \
               principal.getTag(\"region\").contains(resource.region))"
            .into(),
        11 => "(context has purpose && context.purpose == \"fraud\")".into(),
        12 => "resource has region".into(),
        13 => "!(resource has amount)".into(),
        // Fails.
        14 => format!("{number} + 9223372036854775807 > 0"),
        _ => "principal in Group::\"analysts\"".into(),
    }
}

/// Decides about a row with Cedar alone. A forbid that fails hides the row.
fn cedar_shows(text: &str, caller: &Caller, row: &Row) -> bool {
    let set: PolicySet = text.parse().unwrap();
    let uid = |text: &str| text.parse::<EntityUid>().unwrap();
    let user = uid(&format!("User::\"{}\"", caller.name));
    let string = |text: &String| RestrictedExpression::new_string(text.clone());
    let strings = |texts: &Vec<String>| RestrictedExpression::new_set(texts.iter().map(string));
    let principal = Entity::new_with_tags(
        user.clone(),
        [("name".to_owned(), string(&caller.name))],
        caller.groups.iter().map(|group| uid(&format!("Group::\"{group}\""))),
        caller.attributes.iter().map(|(name, values)| (name.clone(), strings(values))),
    )
    .unwrap();
    let attributes = row.iter().map(|(name, value)| {
        let value = match value {
            Literal::Bool(value) => RestrictedExpression::new_bool(*value),
            Literal::Long(value) => RestrictedExpression::new_long(*value),
            Literal::String(value) => string(value),
            Literal::Decimal(value) => RestrictedExpression::new_decimal(format!("{}.0", value / 10_000)),
            Literal::Datetime(value) => {
                let day = value / 86_400_000 - 20_454;
                RestrictedExpression::new_datetime(if day < 0 {
                    format!("2025-12-{}", 32 + day)
                } else {
                    format!("2026-01-{:02}", 1 + day)
                })
            }
            other => panic!("{other:?}"),
        };
        ((*name).to_owned(), value)
    });
    let resource = Entity::new(uid(PORT), attributes.collect(), HashSet::new()).unwrap();
    let mut context = vec![
        ("now".to_owned(), RestrictedExpression::new_datetime("2026-01-01")),
        ("via".to_owned(), RestrictedExpression::new_set([])),
    ];
    context.extend(caller.purpose.iter().map(|purpose| ("purpose".to_owned(), string(purpose))));
    let context = Context::from_pairs(context).unwrap();
    let request = Request::new(user, uid("Action::\"read\""), uid(PORT), context, None).unwrap();
    let entities = Entities::from_entities([principal, resource], None).unwrap();
    let response = Authorizer::new().is_authorized(&request, &set, &entities);
    let forbid_failed = response.diagnostics().errors().any(|error| {
        let AuthorizationError::PolicyEvaluationError(error) = error;
        set.policy(error.policy_id()).is_some_and(|policy| policy.effect() == cedar_policy::Effect::Forbid)
    });
    response.decision() == CedarDecision::Allow && !forbid_failed
}

#[test]
fn decisions_equal_those_of_cedar() {
    let mut random = StdRng::seed_from_u64(42);
    let (mut shown, mut hidden) = (0, 0);
    for _ in 0..200 {
        let text: String = (0..random.random_range(1..5)).map(|_| random_policy(&mut random, 3)).collect();
        let policies = policies(&text, "");
        for _ in 0..4 {
            let caller = random_caller(&mut random);
            let decision = read(&policies, &caller);
            for _ in 0..10 {
                let row = random_row(&mut random);
                let expected = cedar_shows(&text, &caller, &row);
                assert_eq!(shows(&decision, &row), expected, "{caller:?} {row:?}\n{text}\n{decision:#?}");
                *if expected { &mut shown } else { &mut hidden } += 1;
            }
        }
    }
    assert!(shown > 1_000 && hidden > 1_000, "{shown} rows are shown and {hidden} hidden");
}
