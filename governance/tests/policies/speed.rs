//! The processor time of decisions. Run with `--ignored --nocapture`, on Linux.

use std::time::Duration;

use portolan_governance::{Action, Caller, DecisionCache};

use crate::fixtures::{NEW_YEAR, at, orders, policies};

/// Returns the time that this thread has run: other programs do not matter.
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

#[test]
#[ignore = "measures time"]
fn decisions_a_second() {
    for count in [16, 100, 1000] {
        for (name, principal) in [("for this principal", "principal"), ("for groups", "principal in Group::\"g{}\"")] {
            let text: String = (0..count)
                .map(|i| {
                    let principal = principal.replace("{}", &i.to_string());
                    format!(
                        "permit({principal}, action == Action::\"read\", resource is sales::orders::orders) \
                         when {{ resource has region && resource.region == \"r{i}\" }};\n"
                    )
                })
                .collect();
            let start = cpu();
            let policies = policies(&text, "");
            let load = cpu() - start;
            let ann = Caller::new("ann").with_groups(["g1", "g2", "g3"]);
            let (mut runs, start) = (0_u32, cpu());
            while runs < 20 || (cpu() - start).as_millis() < 300 {
                policies.decide(&ann, &orders(), Action::Read, at(NEW_YEAR));
                runs += 1;
            }
            let one = (cpu() - start) / runs;
            let cache = DecisionCache::new(1000);
            let start = cpu();
            for _ in 0..20_000 {
                cache.decide(&policies, &ann, &orders(), Action::Read, at(NEW_YEAR));
            }
            let cached = (cpu() - start) / 20_000;
            println!("{count} policies {name}: load {load:?}, decision {one:?}, from the cache {cached:?}");
        }
    }
}
