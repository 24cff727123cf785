//! The cache of decisions.

use portolan_governance::{Action, Caller, DecisionCache};

use crate::fixtures::{NEW_YEAR, at, governed, orders, policies};

#[test]
fn the_cache_is_bounded() {
    let policies = policies("permit(principal, action, resource);", "");
    for capacity in [0, 1, 2, 10] {
        let cache = DecisionCache::new(capacity);
        for i in 0..50 {
            let decision =
                cache.decide(&policies, &Caller::new(format!("u{i}")), &orders(), Action::Read, at(NEW_YEAR));
            governed(&decision);
            assert!(cache.len() <= capacity, "{} of {capacity}", cache.len());
        }
        assert_eq!(cache.is_empty(), capacity == 0);
    }
}

#[test]
fn decisions_are_kept_by_everything_that_they_depend_on() {
    let text = r#"permit(principal, action, resource) when { context.now < datetime("2026-01-02") };"#;
    let (first, second) = (policies(text, ""), policies(&format!("{text} "), ""));
    let cache = DecisionCache::new(100);
    let ann = Caller::new("ann");
    let decide =
        |policies, caller: &Caller, seconds: u64| cache.decide(policies, caller, &orders(), Action::Read, at(seconds));
    let kept = governed(&decide(&first, &ann, NEW_YEAR));
    let again = |decision| std::sync::Arc::ptr_eq(&kept, &governed(&decision));
    assert!(again(decide(&first, &ann, NEW_YEAR + 60)));
    assert!(!again(decide(&second, &ann, NEW_YEAR)), "another version");
    for other in [
        Caller::new("bob"),
        ann.clone().with_groups(["a"]),
        ann.clone().with_attribute("a", ["b"]),
        ann.clone().with_purpose("a"),
        ann.clone().with_via(["a"]),
    ] {
        assert!(!again(decide(&first, &other, NEW_YEAR)), "{other:?}");
    }
    assert!(decide(&first, &ann, NEW_YEAR + 86_400).refusal().is_some(), "the decision has expired");
    assert!(decide(&first, &ann, NEW_YEAR).refusal().is_none(), "the clock was set back");
}
