//! The ports that principals see in catalogs.

use portolan_governance::{Action, Caller, Policies};

use crate::fixtures::*;

/// True if the caller sees the orders in catalogs, and true if the orders may be hidden from somebody.
fn shown(policies: &Policies, caller: &Caller) -> (bool, bool) {
    let decision = policies.decide(caller, &orders(), Action::Describe, at(NEW_YEAR));
    (policies.shows(&orders(), &decision), policies.may_hide(&orders()))
}

#[test]
fn a_port_is_shown_unless_a_rule_is_about_describing_it() {
    let eve = Caller::new("eve");
    for (text, expected) in [
        // Nobody needs to be asked, because no rule is about describing.
        ("", (true, false)),
        ("permit(principal == User::\"bob\", action, resource);", (true, false)),
        ("permit(principal == User::\"bob\", action == Action::\"read\", resource);", (true, false)),
        ("forbid(principal, action == Action::\"read\", resource);", (true, false)),
        // Whoever may read may describe.
        (
            "permit(principal == User::\"eve\", action == Action::\"read\", resource);
             permit(principal == User::\"bob\", action == Action::\"describe\", resource);",
            (true, true),
        ),
        ("permit(principal, action in [Action::\"describe\", Action::\"insert\"], resource);", (true, true)),
        ("permit(principal == User::\"bob\", action == Action::\"describe\", resource);", (false, true)),
        (
            "permit(principal, action, resource);
             forbid(principal == User::\"eve\", action == Action::\"describe\", resource);",
            (false, true),
        ),
        ("forbid(principal, action, resource);", (false, true)),
        ("permit(principal, action, resource); forbid(principal == User::\"bob\", action, resource);", (true, true)),
        // A condition on rows hides no port.
        (
            "permit(principal, action, resource);
             forbid(principal, action, resource is sales::orders::orders) when { resource.id == 1 };",
            (true, true),
        ),
    ] {
        assert_eq!(shown(&policies(text, ""), &eve), expected, "{text}");
    }
    // A rule of the mesh hides ports too.
    let mesh = policies("", "forbid(principal == User::\"eve\", action == Action::\"describe\", resource);");
    assert_eq!(shown(&mesh, &eve), (false, true));
    assert_eq!(shown(&mesh, &Caller::new("bob")), (true, true));
}

#[test]
fn a_closed_port_is_hidden_if_a_rule_might_hide_it() {
    let rule = "permit(principal == User::\"bob\", action == Action::\"describe\", resource);";
    let with_a_rule = format!("{rule}\npermit(");
    for (text, expected) in [("permit(", (true, false)), (with_a_rule.as_str(), (false, true))] {
        let (policies, report) = resolve(text, "");
        assert_eq!(report.errors.len(), 1, "{report:?}");
        assert_eq!(shown(&policies, &Caller::new("bob")), expected, "{text}");
    }
}
