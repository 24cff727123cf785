//! The SQL of MySQL: that of MariaDB with another binary collation, and without casts of timestamps to dates.

use super::mariadb::COMMON;
use crate::sql::dialect::SqlDialect;

/// The SQL of MySQL 8.0.17 and later, with the session of MariaDB's SQL. No test runs it.
pub static MYSQL: SqlDialect = SqlDialect { name: "MySQL", exact_text: "({0} COLLATE utf8mb4_0900_bin)", ..COMMON };
