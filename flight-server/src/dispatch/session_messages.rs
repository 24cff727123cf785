//! The messages of Flight's session options, and the newer version of one Flight SQL message. The `arrow-flight` crate
//! has neither.

use std::collections::HashMap;

use bytes::Bytes;
use prost::{Enumeration, Message, Oneof};

/// The action that sets options of the session.
pub(super) const SET_SESSION_OPTIONS: &str = "SetSessionOptions";
/// The action that returns the options of the session.
pub(super) const GET_SESSION_OPTIONS: &str = "GetSessionOptions";
/// The action that ends the session.
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

/// The value of a session option.
#[derive(Clone, PartialEq, Oneof)]
pub enum OptionValue {
    /// A string.
    #[prost(string, tag = "1")]
    String(String),
    /// A Boolean.
    #[prost(bool, tag = "2")]
    Bool(bool),
    /// An integer.
    #[prost(sfixed64, tag = "3")]
    Int64(i64),
    /// A floating-point number.
    #[prost(double, tag = "4")]
    Double(f64),
    /// A list of strings.
    #[prost(message, tag = "5")]
    StringList(StringListValue),
}

/// A list of strings, as the value of a session option.
#[derive(Clone, PartialEq, Message)]
pub struct StringListValue {
    /// The strings.
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
/// The reason why an option was rejected.
pub enum SetSessionOptionErrorValue {
    /// Not specified.
    Unspecified = 0,
    /// No option has this name.
    InvalidName = 1,
    /// The option does not accept this value.
    InvalidValue = 2,
    /// The option cannot be set now.
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
/// The outcome of closing a session.
pub enum CloseSessionStatus {
    /// Not specified.
    Unspecified = 0,
    /// The session is closed.
    Closed = 1,
    /// The session will be closed.
    Closing = 2,
    /// There is no session that could be closed.
    NotCloseable = 3,
}

/// Session options by name; `None` resets an option to its default.
pub type SessionOptions = HashMap<String, Option<OptionValue>>;

/// Converts the options from their wire format.
pub(super) fn from_options(options: HashMap<String, SessionOptionValue>) -> SessionOptions {
    options.into_iter().map(|(name, value)| (name, value.option_value)).collect()
}

/// Converts the options to their wire format.
pub(super) fn into_options(options: SessionOptions) -> HashMap<String, SessionOptionValue> {
    options.into_iter().map(|(name, option_value)| (name, SessionOptionValue { option_value })).collect()
}

impl OptionValue {
    /// Returns the value in the form that `SET` accepts; `None` for a list.
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
