//! What the rules of this project say about the servers of contracts, beyond the standard's schema.

/// The custom property of a server that has the kind of its database, if the standard has no type for the kind.
pub(crate) const DATABASE_TYPE: &str = "portolan.type";

/// The names of keys and custom properties, in lower case, with which other tools log in to a server.
pub(crate) const CREDENTIALS: [&str; 6] = ["user", "username", "password", "passwd", "pwd", "token"];

/// The message about a user, a password or a token in a contract. It never repeats them.
pub(crate) const NO_CREDENTIALS: &str = "credentials do not belong in a contract: give them in the node's config";
