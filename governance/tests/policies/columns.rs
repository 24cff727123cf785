//! Rules of columns, and masks.

use std::collections::BTreeMap;

use arrow_schema::{DataType, TimeUnit};
use portolan_governance::{Caller, ColumnRule, Decision, Mask, MaskKey, Policies};

use crate::fixtures::{catalog, files, governed, orders, policies, read};

const PERMIT: &str = "permit(principal, action, resource);";

fn columns(policy: &str, caller: &Caller) -> BTreeMap<String, ColumnRule> {
    governed(&read(&policies(&format!("{PERMIT}{policy}"), ""), caller)).columns.clone()
}

#[test]
fn columns_are_hidden_or_masked() {
    let policy = r#"
        @id("restricted")
        forbid(principal, action == Action::"read", resource is Column in Classification::"restricted")
        unless { principal in Group::"stewards" };
        @id("pii") @mask("show-last-4")
        forbid(principal, action, resource is Column in Tag::"pii");
        @mask("mask-to-fixed-value")
        forbid(principal, action, resource == Column::"sales.orders.orders.price") when { principal.name == "ann" };"#;
    let ann = governed(&read(&policies(&format!("{PERMIT}{policy}"), ""), &Caller::new("ann")));
    let expected = [
        ("email", ColumnRule::Hidden),
        ("phone", ColumnRule::Masked(Mask::ShowLast4)),
        ("price", ColumnRule::Masked(Mask::MaskToFixedValue)),
    ];
    assert_eq!(ann.columns, expected.map(|(name, rule)| (name.to_owned(), rule)).into());
    assert_eq!((ann.rule("id"), ann.rule("email")), (None, Some(ColumnRule::Hidden)));
    assert_eq!(ann.rule("fax"), Some(ColumnRule::Hidden), "the decision does not know this column");
    assert_eq!(ann.reasons.columns["email"], ["restricted"]);
    assert_eq!(ann.reasons.columns["price"], ["orders.cedar:7"]);
    let steward = columns(policy, &Caller::new("eve").with_groups(["stewards"]));
    assert_eq!(steward, [("phone".to_owned(), ColumnRule::Masked(Mask::ShowLast4))].into());
}

#[test]
fn a_rule_of_columns_that_fails_counts() {
    let policy = r#"forbid(principal, action, resource is Column in Tag::"pii") when { 9223372036854775807 + 1 > 0 };"#;
    assert_eq!(columns(policy, &Caller::new("ann")), [("phone".to_owned(), ColumnRule::Hidden)].into());
}

#[test]
fn a_tag_without_a_type_matches_ports_and_columns() {
    let policy = r#"forbid(principal == User::"ann", action == Action::"read", resource in Tag::"pii");"#;
    assert_eq!(columns(policy, &Caller::new("ann")), [("phone".to_owned(), ColumnRule::Hidden)].into());
    assert_eq!(columns(policy, &Caller::new("bob")), BTreeMap::new());
}

#[test]
fn hidden_wins_over_masks() {
    let policy = r#"
        @mask("replace-with-null") forbid(principal, action, resource is Column in Tag::"pii");
        forbid(principal, action, resource == Column::"sales.orders.orders.phone");"#;
    assert_eq!(columns(policy, &Caller::new("ann"))["phone"], ColumnRule::Hidden);
}

#[test]
fn classes_of_columns_tell_named_columns_apart() {
    // `region`, `amount` and others have equal tags and classifications.
    let policy = r#"
        forbid(principal, action, resource is Column in Port::"sales.orders.orders")
        unless { resource != Column::"sales.orders.orders.region" };"#;
    assert_eq!(columns(policy, &Caller::new("ann")), [("region".to_owned(), ColumnRule::Hidden)].into());
}

#[test]
fn the_order_of_masks() {
    use Mask::{
        HmacSha256, MaskAlphanum, MaskToFixedValue, ReplaceWithNull, Sha256Global, Sha256QueryLocal, ShowFirst4,
        ShowLast4, TruncateToMonth, TruncateToYear,
    };
    for [stricter, milder] in [
        [ReplaceWithNull, MaskToFixedValue],
        [MaskToFixedValue, Sha256QueryLocal],
        [Sha256QueryLocal, HmacSha256],
        [HmacSha256, Sha256Global],
        [Sha256Global, MaskAlphanum],
        [MaskAlphanum, ShowFirst4],
        [MaskAlphanum, ShowLast4],
        [ShowFirst4, TruncateToYear],
        [ShowLast4, TruncateToYear],
        [TruncateToYear, TruncateToMonth],
    ] {
        assert_eq!(Mask::strictest([milder, stricter]), Some(stricter));
        assert_eq!(Mask::strictest([stricter, milder]), Some(stricter));
    }
    assert_eq!(Mask::strictest([]), None);
    assert_eq!(Mask::strictest([ShowFirst4, ShowFirst4]), Some(ShowFirst4));
    assert_eq!(Mask::strictest([ShowFirst4, ShowLast4]), Some(ReplaceWithNull));
    assert_eq!(Mask::strictest([ShowLast4, MaskAlphanum, ShowFirst4]), Some(ReplaceWithNull));
    assert!(ColumnRule::Hidden > ColumnRule::Masked(ReplaceWithNull));
}

#[test]
fn one_more_mask_never_discloses_more() {
    // Sets of masks as bits.
    let of =
        |set: u32| Mask::strictest(Mask::ALL.into_iter().enumerate().filter(|(i, _)| set >> i & 1 == 1).map(|m| m.1));
    for set in 0..1 << Mask::ALL.len() {
        for mask in 0..Mask::ALL.len() {
            let (before, after) = (of(set), of(set | 1 << mask));
            let is_tighter = before.is_none_or(|before| {
                after == Some(before) || after.is_some_and(|after| after > before && !after.is_incomparable(before))
            });
            assert!(is_tighter, "{before:?} {after:?}");
        }
    }
}

#[test]
fn masks_fit_types() {
    let fits = |mask: Mask| {
        let types = [
            DataType::Utf8View,
            DataType::Int64,
            DataType::Float64,
            DataType::Date32,
            DataType::Timestamp(TimeUnit::Nanosecond, None),
            DataType::Binary,
            DataType::Dictionary(DataType::Int8.into(), DataType::Utf8.into()),
            DataType::Struct(arrow_schema::Fields::empty()),
        ];
        types.map(|ty| u8::from(mask.fits(&ty).is_ok()))
    };
    assert_eq!(fits(Mask::MaskAlphanum), [1, 0, 0, 0, 0, 0, 1, 0]);
    assert_eq!(fits(Mask::ShowFirst4), [1, 0, 0, 0, 0, 0, 1, 0]);
    assert_eq!(fits(Mask::ShowLast4), [1, 0, 0, 0, 0, 0, 1, 0]);
    assert_eq!(fits(Mask::TruncateToYear), [0, 0, 0, 1, 1, 0, 0, 0]);
    assert_eq!(fits(Mask::TruncateToMonth), [0, 0, 0, 1, 1, 0, 0, 0]);
    assert_eq!(fits(Mask::Sha256Global), [1, 1, 0, 0, 0, 1, 1, 0]);
    assert_eq!(fits(Mask::HmacSha256), [1, 0, 0, 0, 0, 0, 1, 0]);
    assert_eq!(fits(Mask::Sha256QueryLocal), [1, 1, 0, 0, 0, 1, 1, 0]);
    assert_eq!(fits(Mask::MaskToFixedValue), [1; 8]);
    assert_eq!(fits(Mask::ReplaceWithNull), [1; 8]);
    let message = Mask::ShowLast4.fits(&DataType::Int64).unwrap_err();
    assert_eq!(message, "the mask `show-last-4` expects a string, got Int64; `replace-with-null` fits more types");
}

#[test]
fn names_of_masks() {
    for mask in Mask::ALL {
        assert_eq!(Mask::parse(mask.name()), Ok(mask));
    }
    assert_eq!(Mask::parse("show-last4"), Err(Some("show-last-4")));
    assert_eq!(Mask::parse("none"), Err(None));
}

#[test]
fn rules_of_columns_alone_admit_nobody() {
    let policies = policies(r#"forbid(principal, action, resource is Column in Tag::"pii");"#, "");
    assert!(matches!(read(&policies, &Caller::new("ann")), Decision::Denied(_)));
}

/// A keyed hash needs the key of the mesh. Without it, the ports whose columns it masks are closed.
#[test]
fn a_keyed_hash_needs_a_key() {
    let policy = r#"permit(principal, action, resource);
        @mask("hmac-sha-256") forbid(principal, action, resource is Column in Tag::"pii");"#;
    let mut files = files(policy, "");
    let (without, report) = Policies::new(&catalog(), &files);
    let [error] = report.errors.as_slice() else { panic!("{:?}", report.errors) };
    assert!(error.to_string().contains("orders.cedar:2: the mask `hmac-sha-256` needs the key"), "{error}");
    assert!(error.to_string().contains("`mask_key`"), "{error}");
    assert!(without.closed().any(|port| *port == orders()));

    files.mask_key = Some(MaskKey::parse(&"k".repeat(MaskKey::SHORTEST)).unwrap());
    let (with, report) = Policies::new(&catalog(), &files);
    assert_eq!(report.errors, []);
    let decided = governed(&read(&with, &Caller::new("ann")));
    assert_eq!(decided.columns["phone"], ColumnRule::Masked(Mask::HmacSha256));
}
