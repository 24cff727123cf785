//! The plans that settings can force: every strategy for joins across sites, every encoding of keys, owners that only
//! filter and project, joins in the order in which they are written, and equal parts that are computed where they occur. The
//! rows are the same in all of them.

/// A forced plan, with the settings that force it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forced {
    /// The name of the plan.
    pub name: &'static str,
    /// The settings, by name.
    pub settings: &'static [(&'static str, &'static str)],
}

/// All forced plans.
pub const FORCED: &[Forced] = &[
    Forced { name: "gather", settings: &[("portolan.strategy", "gather")] },
    Forced { name: "keys from left", settings: &[("portolan.strategy", "keys_from_left")] },
    Forced { name: "keys from right", settings: &[("portolan.strategy", "keys_from_right")] },
    Forced { name: "delegate to left", settings: &[("portolan.strategy", "delegate_to_left")] },
    Forced { name: "delegate to right", settings: &[("portolan.strategy", "delegate_to_right")] },
    Forced {
        name: "keys as literals",
        settings: &[("portolan.strategy", "keys_from_left"), ("portolan.key_form", "literals")],
    },
    Forced {
        name: "keys as a batch",
        settings: &[("portolan.strategy", "keys_from_left"), ("portolan.key_form", "batch")],
    },
    Forced {
        name: "keys as a Bloom filter",
        settings: &[("portolan.strategy", "keys_from_left"), ("portolan.key_form", "bloom")],
    },
    Forced {
        name: "keys as a range",
        settings: &[("portolan.strategy", "keys_from_left"), ("portolan.key_form", "range")],
    },
    Forced { name: "owners filter and project alone", settings: &[("portolan.pushdown", "scans")] },
    Forced { name: "order as written", settings: &[("portolan.join_order", "off")] },
    Forced { name: "nothing is shared", settings: &[("portolan.share", "off")] },
];

impl Forced {
    /// Returns the statements that force the plan in a session.
    pub fn statements(&self) -> impl Iterator<Item = String> {
        self.settings.iter().map(|(name, value)| format!("SET {name} = {value}"))
    }
}
