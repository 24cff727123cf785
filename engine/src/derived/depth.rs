//! How deep a derived port is, with those that it reads.

use portolan_catalog::Port;
use portolan_connectors::OpenError;

use super::query::fault;
use crate::Error;
use crate::bounds::{check_levels, levels};

/// The largest number of derived ports on a path from a derived port to data.
pub(super) const MOST_NESTED: usize = 16;

/// How deep a derived port is, with those that it reads.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PortDepth {
    /// The derived ports on the longest path from the port to data.
    ports: usize,
    /// The levels of their queries together. Planning merges their expressions into one.
    levels: usize,
}

impl PortDepth {
    /// Returns the depth of a port above the derived ports that it reads.
    ///
    /// # Errors
    /// A port beyond the limits.
    pub(super) fn above<'d>(below: impl Iterator<Item = &'d Self>, port: &Port) -> Result<Self, OpenError> {
        let below = below.fold(Self::default(), |most, depth| Self {
            ports: most.ports.max(depth.ports),
            levels: most.levels.max(depth.levels),
        });
        let text = port.query().map(|query| query.text.as_str()).unwrap_or_default();
        let depth = Self { ports: below.ports + 1, levels: below.levels + levels(text) };
        if depth.ports > MOST_NESTED {
            return Err(fault(port, format!("derived ports are nested more than {MOST_NESTED} levels deep")));
        }
        let too_deep =
            |error: Error| fault(port, error.within("the query with those of the ports that it reads").context());
        check_levels(depth.levels).map_err(too_deep)?;
        Ok(depth)
    }
}
