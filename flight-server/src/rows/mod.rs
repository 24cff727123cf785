//! Rows as clients see them: their columns, their types in SQL, and their messages.

mod sql_types;

pub(crate) use sql_types::{SqlType, sql_type};
