//! Layers: the mesh and the product together never disclose more than each alone.

use portolan_governance::{Caller, ColumnRule, Decision, Mask};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::fixtures::{policies, read, shows};
use crate::oracle::{random_caller, random_policy, random_row};

fn reads(product: &str, mesh: &str, name: &str) -> Decision {
    read(&policies(product, mesh), &Caller::new(name))
}

#[test]
fn layers_by_hand() {
    let ann = r#"permit(principal == User::"ann", action, resource);"#;
    let all = "permit(principal, action, resource);";
    let forbid_ann = r#"forbid(principal == User::"ann", action, resource);"#;
    let is_denied = |decision: Decision| matches!(decision, Decision::Denied(_));
    assert_eq!(reads("", "", "ann"), Decision::Open);
    assert!(is_denied(reads(ann, "", "bob")) && !is_denied(reads(ann, "", "ann")));
    assert!(!is_denied(reads(ann, all, "ann")) && is_denied(reads(ann, all, "bob")), "the mesh does not widen");
    assert!(is_denied(reads(all, ann, "bob")) && !is_denied(reads(all, ann, "ann")), "a permit of the mesh narrows");
    assert!(is_denied(reads(all, forbid_ann, "ann")) && !is_denied(reads(all, forbid_ann, "bob")));
    assert!(is_denied(reads("", forbid_ann, "ann")), "an open product");
    assert!(matches!(reads("", forbid_ann, "bob"), Decision::Governed(g) if g.filter.is_none()));
    assert!(is_denied(reads("", ann, "bob")), "the permit of the mesh denies others by default");
}

/// True if `after` discloses no more of a column than `before`.
fn is_tighter(before: Option<ColumnRule>, after: Option<ColumnRule>) -> bool {
    match (before, after) {
        (None, _) | (_, Some(ColumnRule::Hidden)) => true,
        (Some(ColumnRule::Masked(before)), Some(ColumnRule::Masked(after))) => {
            Mask::strictest([before, after]) == Some(after)
        }
        _ => false,
    }
}

#[test]
fn layers_only_tighten() {
    let mut random = StdRng::seed_from_u64(7);
    let mut shown = 0;
    for _ in 0..80 {
        let (product, mesh) = (random_layer(&mut random), random_layer(&mut random));
        let both = policies(&product, &mesh);
        let (of_product, of_mesh) = (policies(&product, ""), policies("", &mesh));
        for _ in 0..4 {
            let caller = random_caller(&mut random);
            let [both, of_product, of_mesh] = [&both, &of_product, &of_mesh].map(|policies| read(policies, &caller));
            for _ in 0..20 {
                let row = random_row(&mut random);
                let expected = shows(&of_product, &row) && shows(&of_mesh, &row);
                assert_eq!(shows(&both, &row), expected, "{caller:?} {row:?}\n{product}\n{mesh}");
                shown += u32::from(expected);
            }
            let Decision::Governed(both) = &both else { continue };
            for alone in [&of_product, &of_mesh] {
                let Decision::Governed(alone) = alone else { continue };
                for (column, rule) in &alone.columns {
                    let together = both.columns.get(column).copied();
                    assert!(is_tighter(Some(*rule), together), "{column} {rule} {together:?}\n{product}\n{mesh}");
                }
            }
        }
    }
    assert!(shown > 250, "only {shown} rows are shown: the test is too strict to find anything");
}

fn random_layer(random: &mut StdRng) -> String {
    let mut text = String::new();
    for _ in 0..random.random_range(1..4) {
        text.push_str(&random_policy(random, 2));
    }
    for _ in 0..random.random_range(0..4) {
        let masks = ["show-first-4", "show-last-4", "mask-alphanum", "sha-256-global", "replace-with-null"];
        let mask = match random.random_range(0..=masks.len()) {
            i if i == masks.len() => String::new(),
            i => format!("@mask(\"{}\") ", masks[i]),
        };
        let within = ["Classification::\"restricted\"", "Tag::\"pii\""][random.random_range(0..2)];
        text.push_str(&format!("{mask}forbid(principal, action, resource is Column in {within});\n"));
    }
    text
}
