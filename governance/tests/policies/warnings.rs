//! Warnings about rules without effect.

use crate::fixtures::resolve;

fn warnings(product: &str) -> Vec<String> {
    let (_, report) = resolve(product, "");
    assert_eq!(report.errors, []);
    report.warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn rules_that_match_nothing() {
    assert_eq!(
        warnings(r#"permit(principal, action, resource in Tag::"finanse");"#),
        ["orders.cedar:1: warning: orders.cedar:1: the policy has no effect: no port and no column is in \
         `Tag::\"finanse\"`; did you mean `finance`?"]
    );
    assert_eq!(
        warnings(r#"@id("a") forbid(principal, action, resource is Column in Classification::"restrictd");"#),
        [
            "orders.cedar:1: warning: a: the policy has no effect: no column is in `Classification::\"restrictd\"`; did you \
         mean `restricted`?"
        ]
    );
    assert_eq!(
        warnings(r#"@id("a") permit(principal, action, resource) when { principal.name == "a" && false };"#),
        ["orders.cedar:1: warning: a: the policy has no effect: its condition is never true"]
    );
}

#[test]
fn rules_that_others_shadow() {
    let of = |rest: &str| warnings(&format!("@id(\"a\") permit(principal, action, resource);{rest}"));
    let is = |rest: &str, message: &str| {
        let found = of(rest);
        assert!(found.len() == 1 && found[0].contains(message), "{found:?}");
    };
    assert_eq!(of(""), [""; 0]);
    assert_eq!(
        warnings("// later"),
        ["orders.cedar: warning: orders.cedar: the file has no policy, but the ports deny by default because of it"]
    );
    is(r#"permit(principal, action, resource);"#, "no effect: `a` is the same");
    is(r#"permit(principal, action, resource) when { principal.name == "b" };"#, "the condition has no effect: `a`");
    is(r#"@id("f") forbid(principal, action, resource);"#, "a: the policy has no effect: `f` forbids all");
    let masks = r#"@id("m") @mask("show-first-4") forbid(principal, action, resource is Column in Tag::"pii");
                   @id("n") @mask("show-last-4") forbid(principal, action, resource is Column in Tag::"pii");"#;
    is(masks, "n: neither this mask nor that of `m` is the stricter one");
}
