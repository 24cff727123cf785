//! Agreements: principals, purposes and times.

use portolan_catalog::{PortRef, ProductName};
use portolan_governance::{Action, Caller, Decision, LayerFiles, Policies, PolicyFiles, Report, SourceFile};

use crate::fixtures::{NEW_YEAR, at, catalog, orders};

const DAY: u64 = 86_400;
const AGREEMENT: &str = "port: orders
who:
  users: [ann]
  groups: [auditors]
purpose: fraud
from: 2026-01-01
until: 2026-01-31
";

fn load(product: &[&str], mesh: &[&str]) -> (Policies, Report) {
    let layer = |texts: &[&str], name: &str| LayerFiles {
        agreements: texts
            .iter()
            .enumerate()
            .map(|(i, text)| SourceFile::new(format!("{name}{i}.yaml"), *text))
            .collect(),
        ..LayerFiles::default()
    };
    let mut files = PolicyFiles { mesh: layer(mesh, "mesh"), ..PolicyFiles::default() };
    if !product.is_empty() {
        files.products.insert(ProductName::new("orders"), layer(product, "orders"));
    }
    Policies::new(&catalog(), &files)
}

fn errors(text: &str) -> Vec<String> {
    load(&[text], &[]).1.errors.iter().map(ToString::to_string).collect()
}

#[test]
fn principals_purposes_and_times() {
    let (policies, report) = load(&[AGREEMENT], &[]);
    assert_eq!(report.errors, []);
    let decide =
        |caller: &Caller, seconds: u64, action: Action| policies.decide(caller, &orders(), action, at(seconds));
    let ann = Caller::new("ann").with_purpose("fraud");
    let end = NEW_YEAR + 31 * DAY;
    for (seconds, is_valid, next) in [
        (NEW_YEAR - 1, false, Some(NEW_YEAR)),
        (NEW_YEAR, true, Some(end)),
        (end - 1, true, Some(end)),
        (end, false, None),
    ] {
        let decision = decide(&ann, seconds, Action::Read);
        assert_eq!(matches!(decision, Decision::Governed(_)), is_valid, "{seconds}");
        assert_eq!(decision.valid_until(), next.map(at), "{seconds}");
    }
    let is_admitted =
        |caller: Caller, action: Action| matches!(decide(&caller, NEW_YEAR, action), Decision::Governed(_));
    assert!(!is_admitted(Caller::new("ann"), Action::Read), "no purpose");
    assert!(!is_admitted(Caller::new("ann").with_purpose("marketing"), Action::Read));
    assert!(!is_admitted(Caller::new("bob").with_purpose("fraud"), Action::Read));
    assert!(is_admitted(Caller::new("bob").with_groups(["auditors"]).with_purpose("fraud"), Action::Read));
    assert!(is_admitted(ann.clone(), Action::Describe) && !is_admitted(ann, Action::Insert));
    let items = PortRef::new("sales", "orders", "order-items");
    let ann = Caller::new("ann").with_purpose("fraud");
    assert!(matches!(policies.decide(&ann, &items, Action::Read, at(NEW_YEAR)), Decision::Denied(_)), "another port");
}

#[test]
fn agreements_of_the_mesh() {
    let full = AGREEMENT.replace("port: orders", "port: sales.orders.orders");
    let elsewhere = AGREEMENT.replace("port: orders", "port: finance.books.entries");
    let (policies, report) = load(&[], &[&full, &elsewhere]);
    assert_eq!(report.errors, []);
    let decide = |caller: &Caller| policies.decide(caller, &orders(), Action::Read, at(NEW_YEAR));
    assert!(matches!(decide(&Caller::new("ann").with_purpose("fraud")), Decision::Governed(_)));
    assert!(matches!(decide(&Caller::new("bob").with_purpose("fraud")), Decision::Denied(_)));
    let (_, report) = load(&[], &[AGREEMENT]);
    let error = "mesh0.yaml:1: port: expected a full name `domain.product.port`, got `orders`";
    assert!(report.errors[0].to_string().starts_with(error), "{report:?}");
}

#[test]
fn faults() {
    let with = |from: &str, to: &str| errors(&AGREEMENT.replace(from, to));
    assert_eq!(
        with("port: orders", "port: order"),
        ["orders0.yaml:1: port: the product `orders` has no port `order`; did you mean `orders`?"]
    );
    assert_eq!(with("port: orders", "port: sales.people.customers").len(), 1, "a port of another product");
    let unknown = with("purpose:", "purposes:");
    assert!(unknown.contains(&"orders0.yaml:5: purposes: unknown key `purposes`; did you mean `purpose`?".to_owned()));
    assert_eq!(
        with("  users: [ann]\n  groups: [auditors]", "  user: [ann]"),
        ["orders0.yaml:3: who.user: unknown key `user`; did you mean `users`?"]
    );
    assert_eq!(
        with("  users: [ann]\n  groups: [auditors]", "  users: []"),
        ["orders0.yaml:2: who: the agreement is with nobody: name `users` or `groups`"]
    );
    assert_eq!(
        with("2026-01-31", "2026-02-30"),
        ["orders0.yaml:7: until: expected a date `YYYY-MM-DD`, got `2026-02-30`"]
    );
    assert_eq!(
        with("2026-01-31", "2025-12-31"),
        ["orders0.yaml:7: until: the agreement ends before it begins, on 2026-01-01"]
    );
    assert_eq!(with("purpose: fraud", "purpose: ' '").len(), 1);
    assert!(with("until: 2026-01-31", "")[0].contains("the key `until` is missing"));
    let (policies, _) = load(&["port: ["], &[]);
    let decision = policies.decide(&Caller::new("ann").with_purpose("fraud"), &orders(), Action::Read, at(NEW_YEAR));
    assert!(matches!(decision, Decision::Closed(_)));
}
