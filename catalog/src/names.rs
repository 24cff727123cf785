//! The names of the mesh: domains, data products, output ports, and the three-part name of a port.
//! In SQL a domain is a catalog, a product a schema, and a port a table.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::printable::is_printable;

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $type(String);

        impl $type {
            /// Wraps a name without changes.
            pub fn new(name: impl Into<String>) -> Self {
                Self(name.into())
            }

            /// Returns the name, without quotes.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// The owner of data products; a SQL catalog.
    DomainName
}
name! {
    /// A versioned unit that a domain publishes; a SQL schema.
    ProductName
}
name! {
    /// One governed relation of a product; a SQL table.
    PortName
}

/// The full name of an output port: `domain.product.port`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PortRef {
    /// The domain that owns the port.
    pub domain: DomainName,
    /// The product that the port belongs to.
    pub product: ProductName,
    /// The port itself.
    pub port: PortName,
}

/// The longest name of a domain, product or port, in characters.
pub const MAX_NAME_LENGTH: usize = 128;

/// Checks that a domain, product or port can be called `name`. Any text that can be typed between double quotes is
/// allowed, except for dots, which separate the parts of a full name, and for characters that cannot be seen.
///
/// # Errors
/// The reason why the name is not allowed.
pub fn check_name(name: &str) -> Result<(), String> {
    if name.trim().is_empty() {
        return Err("a name may not be empty".into());
    }
    if name.chars().count() > MAX_NAME_LENGTH {
        return Err(format!("a name may not be longer than {MAX_NAME_LENGTH} characters"));
    }
    if !is_printable(name) {
        return Err("a name may not contain control characters, invisible characters, or marks of direction".into());
    }
    if name.contains('.') {
        return Err(format!("the name `{name}` contains a dot, which separates domain, product and port"));
    }
    Ok(())
}

impl PortRef {
    /// Returns the full name of these three parts.
    pub fn new(domain: impl Into<String>, product: impl Into<String>, port: impl Into<String>) -> Self {
        Self { domain: DomainName::new(domain), product: ProductName::new(product), port: PortName::new(port) }
    }
}

impl fmt::Display for PortRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.domain, self.product, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::check_name;

    #[test]
    fn names() {
        assert_eq!(check_name("Größe 1"), Ok(()));
        assert_eq!(check_name(&"x".repeat(128)), Ok(()));
        assert!(check_name(&"x".repeat(129)).is_err());
        for bad in ["", " ", "a.b", "a\nb", "a\0", "a\u{200b}b", "\u{202e}a", "a\u{feff}"] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
    }
}
