//! On whose behalf a query runs.

use std::fmt;

/// On whose behalf a query runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Principal {
    name: String,
}

impl Principal {
    /// A principal of that name.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }

    /// Nobody in particular.
    pub fn anonymous() -> Self {
        Self::new("anonymous")
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
