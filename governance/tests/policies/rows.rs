//! Conditions on rows, with values by hand.

use portolan_governance::{Action, Caller, Comparison, Condition, Decision, Literal, Operand};

use crate::fixtures::{NEW_YEAR, Row, at, evaluate, governed, orders, policies, read, resolve, shows, text};

fn filter(product: &str, caller: &Caller) -> Option<Condition> {
    governed(&read(&policies(product, ""), caller)).filter.clone()
}

fn ann() -> Caller {
    Caller::new("ann").with_groups(["analysts"]).with_attribute("region", ["EU", "US"])
}

fn compare(column: &str, op: Comparison, value: Literal) -> Condition {
    Condition::Compare { left: Operand::Column(column.into()), op, right: Operand::Literal(value) }
}

#[test]
fn the_principal_and_the_context_become_literals() {
    let policy = r#"
        permit(principal in Group::"analysts", action == Action::"read", resource is sales::orders::orders) when {
            principal.hasTag("region") && resource has region &&
            principal.getTag("region").contains(resource.region)
        };"#;
    let expected = Condition::And(vec![
        Condition::IsPresent("region".into()),
        Condition::In { column: "region".into(), values: vec![text("EU"), text("US")] },
    ]);
    assert_eq!(filter(policy, &ann()), Some(expected));
    let without = Caller::new("ann").with_groups(["analysts"]);
    assert!(matches!(read(&policies(policy, ""), &without), Decision::Denied(_)), "a missing attribute");
    let empty = without.with_attribute("region", [""; 0]);
    let decision = read(&policies(policy, ""), &empty);
    assert!(!shows(&decision, &[("region", text("EU"))].into()), "an empty attribute");
    assert!(matches!(read(&policies(policy, ""), &Caller::new("ann")), Decision::Denied(_)), "no group");
}

#[test]
fn each_operator() {
    let ann = ann();
    let of = |condition: &str| {
        let policy = format!("permit(principal, action, resource is sales::orders::orders) when {{ {condition} }};");
        let parts = match filter(&policy, &ann) {
            Some(Condition::And(parts)) => parts,
            Some(other) => vec![other],
            None => vec![],
        };
        parts.into_iter().filter(|part| !matches!(part, Condition::IsPresent(_))).collect::<Vec<_>>()
    };
    let has = |column: &str, rest: &str| of(&format!("resource has {column} && {rest}"));
    assert_eq!(of("resource.id == 1"), [compare("id", Comparison::Eq, Literal::Long(1))]);
    assert_eq!(of("resource.id != 1"), [compare("id", Comparison::Eq, Literal::Long(1)).negate()]);
    assert_eq!(of("!(resource.id < 1)"), [compare("id", Comparison::Less, Literal::Long(1)).negate()]);
    assert_eq!(of("resource.id <= 2 - 1"), [compare("id", Comparison::LessEq, Literal::Long(1))]);
    assert_eq!(has("open", "resource.open"), [compare("open", Comparison::Eq, Literal::Bool(true))]);
    let new_year = Literal::Datetime(i64::try_from(NEW_YEAR).unwrap() * 1000);
    assert_eq!(has("day", "resource.day < context.now"), [compare("day", Comparison::Less, new_year.clone())]);
    assert_eq!(
        has("placed", r#"resource.placed == datetime("2026-01-01T01:00:00+0100")"#),
        [compare("placed", Comparison::Eq, new_year)]
    );
    assert_eq!(
        has("price", r#"resource.price.lessThan(decimal("12.5"))"#),
        [compare("price", Comparison::Less, Literal::Decimal(125_000))]
    );
    assert_eq!(of("principal.name == \"ann\""), []);
    let pattern = has("region", r#"resource.region like "E\**""#);
    let [Condition::Like { pattern, .. }] = pattern.as_slice() else { panic!("{pattern:?}") };
    assert_eq!(format!("{pattern:?}"), r#"[Text("E*"), Any]"#);
}

#[test]
fn a_forbid_that_is_null_hides_the_row() {
    // The condition is true only where both are present, and false only where both are present or one is false.
    let policies = policies(
        r#"permit(principal, action, resource);
           @row_filter("null") @id("null")
           forbid(principal == User::"bob", action, resource is sales::orders::orders);
           forbid(principal == User::"ann", action, resource is sales::orders::orders)
           when { 9223372036854775807 + 1 > 0 && resource.id == 1 };"#,
        "",
    );
    for name in ["ann", "bob"] {
        let decision = read(&policies, &Caller::new(name));
        assert!(!shows(&decision, &[("id", Literal::Long(2))].into()), "{name}: {decision:?}");
    }
    assert!(shows(&read(&policies, &Caller::new("eve")), &Row::new()));
}

#[test]
fn truth_tables() {
    let values = [None, Some(Literal::Bool(false)), Some(Literal::Bool(true))];
    let table = |condition: &str, effect: &str| -> Vec<bool> {
        let policy = format!(
            "permit(principal, action, resource) when {{ {} }}; {}",
            if effect == "permit" { condition } else { "true" },
            if effect == "permit" {
                String::new()
            } else {
                format!("forbid(principal, action, resource is sales::orders::orders) when {{ {condition} }};")
            },
        )
        .replace("resource) when", "resource is sales::orders::orders) when");
        let decision = read(&policies(&policy, ""), &ann());
        values
            .iter()
            .map(|open| {
                let row: Row = open.iter().map(|value| ("open", value.clone())).collect();
                shows(&decision, &row)
            })
            .collect()
    };
    // Rows: NULL, FALSE, TRUE.
    assert_eq!(table("resource has open", "permit"), [false, true, true]);
    assert_eq!(table("resource has open && resource.open", "permit"), [false, false, true]);
    assert_eq!(table("if resource has open then resource.open else true", "permit"), [true, false, true]);
    assert_eq!(table("!(resource has open && resource.open)", "permit"), [true, true, false]);
    assert_eq!(table("if resource has open then resource.open == false else true", "permit"), [true, true, false]);
    assert_eq!(table("resource has open && resource.open", "forbid"), [true, true, false]);
    assert_eq!(table("if resource has open then resource.open else true", "forbid"), [false, true, false]);
    // A failure on the right of what decides, and on the left.
    let fails = "9223372036854775807 + 1 > 0";
    assert_eq!(table(&format!("resource has open || {fails}"), "permit"), [false, true, true]);
    assert_eq!(table(&format!("resource has open && {fails}"), "forbid"), [true, false, false]);
    assert_eq!(table(&format!("{fails} || resource has open"), "permit"), [false, false, false]);
    assert_eq!(table(&format!("{fails} && resource has open"), "forbid"), [false, false, false]);
    assert_eq!(table(&format!("(resource has open && {fails}) || true"), "permit"), [true, false, false]);
    assert_eq!(table(&format!("(resource has open || {fails}) && false"), "forbid"), [false, true, true]);
}

#[test]
fn conditions_in_sql() {
    let ann = ann();
    let of = |sql: &str| {
        let policy = format!(
            r#"@row_filter("{sql}") permit(principal, action, resource is sales::orders::orders)
               when {{ resource.id == 1 }};"#
        );
        let decision = read(&policies(&policy, ""), &ann);
        [1, 2].map(|id| shows(&decision, &[("id", Literal::Long(id))].into()))
    };
    assert_eq!(of("true"), [true, false]);
    assert_eq!(of("false"), [false, false]);
    assert_eq!(of("null"), [false, false]);
    let policies = policies(r#"@row_filter("weight > 1.5") permit(principal, action, resource);"#, "");
    assert_eq!(governed(&read(&policies, &ann)).filter, Some(Condition::Sql("weight > 1.5".into())));
    let filters: Vec<_> =
        policies.row_filters().map(|(port, place, sql)| (port.to_string(), place.line, sql)).collect();
    assert_eq!(filters.len(), 2, "one for each port: {filters:?}");
    assert_eq!(filters[1], ("sales.orders.orders".to_owned(), Some(1), "weight > 1.5"));
}

#[test]
fn actions() {
    let policies = policies(
        r#"permit(principal == User::"reader", action == Action::"read", resource) when { true };
           permit(principal == User::"writer", action == Action::"insert", resource is sales::orders::orders)
               when { resource.id > 5 };
           permit(principal == User::"visitor", action == Action::"describe", resource);
           @id("silent") forbid(principal in Group::"silent", action == Action::"describe", resource);"#,
        "",
    );
    let decide = |name: &str, action: Action| {
        let caller = Caller::new(name).with_groups(if name == "silent" { vec!["silent"] } else { vec![] });
        let decision = policies.decide(&caller, &orders(), action, at(NEW_YEAR));
        matches!(decision, Decision::Governed(_))
    };
    let all = |name: &str| Action::ALL.map(|action| decide(name, action));
    assert_eq!(all("reader"), [true, false, true]);
    assert_eq!(all("writer"), [false, true, false]);
    assert_eq!(all("visitor"), [false, false, true]);
    let silent = Caller::new("reader").with_groups(["silent"]);
    assert!(matches!(policies.decide(&silent, &orders(), Action::Describe, at(NEW_YEAR)), Decision::Denied(_)));
    let writer = policies.decide(&Caller::new("writer"), &orders(), Action::Insert, at(NEW_YEAR));
    let filter = governed(&writer).filter.clone().unwrap();
    assert_eq!(evaluate(&filter, &[("id", Literal::Long(5))].into()), Some(false));
}

#[test]
fn refusals_say_what_to_do_and_nothing_of_policies() {
    let policies = policies(r#"@id("secret-project") permit(principal == User::"bob", action, resource);"#, "");
    let decision = read(&policies, &ann());
    assert_eq!(
        decision.refusal(),
        Some("`ann` may not read `sales.orders.orders`: ask the owner (`team-a`) for access")
    );
    let governed = governed(&read(&policies, &Caller::new("bob")));
    assert_eq!((governed.filter.clone(), governed.reasons.permits.clone()), (None, vec!["secret-project".to_owned()]));
    assert_eq!(governed.version, policies.version());
}

#[test]
fn ports_are_named_by_type_or_by_id() {
    for resource in [
        "resource is sales::orders::order__u2d_items",
        r#"resource == sales::orders::order__u2d_items::"sales.orders.order-items""#,
        r#"resource in Port::"sales.orders.order-items""#,
        r#"resource in Product::"sales.orders""#,
        r#"resource in Domain::"sales""#,
        "resource",
    ] {
        let policies = policies(&format!("permit(principal, action, {resource}) when {{ resource.id == 1 }};"), "");
        let items = portolan_catalog::PortRef::new("sales", "orders", "order-items");
        let decision = policies.decide(&ann(), &items, Action::Read, at(NEW_YEAR));
        assert!(matches!(decision, Decision::Governed(_)), "{resource}: {decision:?}");
    }
}

#[test]
fn decisions_that_depend_on_time() {
    let condition = r#"context.now < datetime("2026-01-02") && context.now >= datetime("2025-01-01")"#;
    let policy = format!("permit(principal, action, resource) when {{ {condition} }};");
    let decision = read(&policies(&policy, ""), &ann());
    assert_eq!(governed(&decision).valid_until, Some(at(NEW_YEAR + 86_400)));
    let rolling = "permit(principal, action, resource) when { context.now.toTime() > duration(\"8h\") };";
    let decision = read(&policies(rolling, ""), &ann());
    assert!(matches!(decision, Decision::Denied(_)));
    assert_eq!(decision.valid_until(), Some(at(NEW_YEAR + 10)));
    let plain = read(&policies("permit(principal, action, resource);", ""), &ann());
    assert_eq!(plain.valid_until(), None);
}

#[test]
fn purposes_and_nodes_on_the_way() {
    let policies = policies(
        r#"permit(principal, action, resource) when { context has purpose && context.purpose == "fraud" };
           forbid(principal, action, resource) when { context.via.contains("relay") };"#,
        "",
    );
    let is_shown = |caller: Caller| shows(&read(&policies, &caller), &Row::new());
    assert!(!is_shown(ann()) && is_shown(ann().with_purpose("fraud")) && !is_shown(ann().with_purpose("Fraud")));
    assert!(!is_shown(ann().with_purpose("fraud").with_via(["gate", "relay"])));
}

#[test]
fn columns_of_two_kinds_are_not_compared() {
    let (_, report) = resolve(
        "permit(principal, action, resource is sales::orders::orders)
         when { resource has day && resource has placed && resource.day == resource.placed };",
        "",
    );
    assert_eq!(
        report.errors[0].to_string(),
        "orders.cedar:1: compares the columns `day` and `placed`, which have two kinds, Date and Timestamp"
    );
}

#[test]
fn long_conditions() {
    let policy = |condition: &str| {
        format!("permit(principal, action, resource is sales::orders::orders) when {{ {condition} }};")
    };
    let ids = |n: i64| (0..n).map(|i| format!("resource.id == {i}")).collect::<Vec<_>>().join(" || ");
    let nested = |n: usize| format!("{}{}{}", "(true && ".repeat(n), ids(80), ")".repeat(n));
    for good in [ids(128), nested(28)] {
        let decision = read(&policies(&policy(&good), ""), &ann());
        assert!(shows(&decision, &[("id", Literal::Long(79))].into()));
    }
    let deep = |open: &str, close: &str, n: usize| format!("{}true{}", open.repeat(n), close.repeat(n));
    for bad in [ids(130), deep("(", ")", 50_000), deep("!", "", 50_000), deep("if true then true else ", "", 9_999)] {
        let (_, report) = resolve(&policy(&bad), "");
        assert!(report.errors.len() == 1 && report.errors[0].message.starts_with("more than"), "{report:?}");
    }
    let chained = format!("context{} == 1", ".via".repeat(250));
    assert_eq!(resolve(&policy(&chained), "").1.errors.len(), 1);
    let many: Vec<String> = (0..4_000).map(|i| i.to_string()).collect();
    let decision = read(&policies(&policy(&format!("[{}].contains(resource.id)", many.join(","))), ""), &ann());
    assert!(shows(&decision, &[("id", Literal::Long(3_999))].into()));
}

#[test]
fn policies_are_shared_by_threads() {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<portolan_governance::Policies>();
    is_shared::<portolan_governance::DecisionCache>();
}

#[test]
fn names_are_data() {
    let policies = policies(
        r#"permit(principal, action, resource is sales::orders::orders) when {
               resource has region && (resource.region == principal.name ||
                   principal.hasTag("region") && principal.getTag("region").contains(resource.region))
           };"#,
        "",
    );
    for name in ["a\" || true || \"", "Group::\"stewards\"", "*", "", "\u{0}\n\\", "Größe"] {
        let caller = Caller::new(name).with_groups([name]).with_attribute("region", [format!("{name}!")]);
        let decision = read(&policies, &caller);
        let is_shown = |region: &str| shows(&decision, &[("region", text(region))].into());
        assert!(is_shown(name) && is_shown(&format!("{name}!")) && !is_shown("EU"), "{name}");
    }
}
