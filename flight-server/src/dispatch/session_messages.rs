//! The messages of Flight's session options, and the newer form of one of Flight SQL's, which the `arrow-flight` crate
//! does not carry.

use std::collections::HashMap;

use bytes::Bytes;
use prost::{Enumeration, Message, Oneof};

/// `DoAction`: sets options of the session.
pub(super) const SET_SESSION_OPTIONS: &str = "SetSessionOptions";
/// `DoAction`: gives the options of the session.
pub(super) const GET_SESSION_OPTIONS: &str = "GetSessionOptions";
/// `DoAction`: ends the session.
pub(super) const CLOSE_SESSION: &str = "CloseSession";

/// A prepared statement, and whether it is an update.
#[derive(Clone, PartialEq, Message)]
pub(super) struct CreatedStatement {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) prepared_statement_handle: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) dataset_schema: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    pub(super) parameter_schema: Bytes,
    #[prost(bool, optional, tag = "4")]
    pub(super) is_update: Option<bool>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SessionOptionValue {
    #[prost(oneof = "OptionValue", tags = "1, 2, 3, 4, 5")]
    pub(super) option_value: Option<OptionValue>,
}

/// The value of a session's option.
#[derive(Clone, PartialEq, Oneof)]
pub enum OptionValue {
    /// Text.
    #[prost(string, tag = "1")]
    String(String),
    /// A truth value.
    #[prost(bool, tag = "2")]
    Bool(bool),
    /// A whole number.
    #[prost(sfixed64, tag = "3")]
    Int64(i64),
    /// A number.
    #[prost(double, tag = "4")]
    Double(f64),
    /// Texts.
    #[prost(message, tag = "5")]
    StringList(StringListValue),
}

/// Texts, as the value of a session's option.
#[derive(Clone, PartialEq, Message)]
pub struct StringListValue {
    /// The texts.
    #[prost(string, repeated, tag = "1")]
    pub values: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SetSessionOptionsRequest {
    #[prost(map = "string, message", tag = "1")]
    pub(super) session_options: HashMap<String, SessionOptionValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SetSessionOptionsResult {
    #[prost(map = "string, message", tag = "1")]
    pub(super) errors: HashMap<String, SetSessionOptionError>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SetSessionOptionError {
    #[prost(enumeration = "SetSessionOptionErrorValue", tag = "1")]
    pub(super) value: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
/// Why an option was not taken.
pub enum SetSessionOptionErrorValue {
    /// Not said.
    Unspecified = 0,
    /// There is no option of that name.
    InvalidName = 1,
    /// The option does not take that value.
    InvalidValue = 2,
    /// It cannot be set now.
    Error = 3,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct GetSessionOptionsResult {
    #[prost(map = "string, message", tag = "1")]
    pub(super) session_options: HashMap<String, SessionOptionValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct CloseSessionResult {
    #[prost(enumeration = "CloseSessionStatus", tag = "1")]
    pub(super) status: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
/// What closing a session came to.
pub enum CloseSessionStatus {
    /// Not said.
    Unspecified = 0,
    /// It is closed.
    Closed = 1,
    /// It will be closed.
    Closing = 2,
    /// There is none that could be closed.
    NotCloseable = 3,
}

/// Options of a session by name; `None` for one that goes back to its default.
pub type SessionOptions = HashMap<String, Option<OptionValue>>;

/// The options as a handler takes them.
pub(super) fn from_options(options: HashMap<String, SessionOptionValue>) -> SessionOptions {
    options.into_iter().map(|(name, value)| (name, value.option_value)).collect()
}

/// The options as they travel.
pub(super) fn into_options(options: SessionOptions) -> HashMap<String, SessionOptionValue> {
    options.into_iter().map(|(name, option_value)| (name, SessionOptionValue { option_value })).collect()
}

impl OptionValue {
    /// The value as `SET` takes it; `None` for a list.
    pub fn as_text(&self) -> Option<String> {
        match self {
            Self::String(value) => Some(value.clone()),
            Self::Bool(value) => Some(value.to_string()),
            Self::Int64(value) => Some(value.to_string()),
            Self::Double(value) => Some(value.to_string()),
            Self::StringList(_) => None,
        }
    }
}
