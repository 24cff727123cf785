//! The messages of Flight's session options, which the `arrow-flight` crate does not carry.

use std::collections::HashMap;

use prost::{Enumeration, Message, Oneof};

/// `DoAction`: sets options of the session.
pub(crate) const SET_SESSION_OPTIONS: &str = "SetSessionOptions";
/// `DoAction`: gives the options of the session.
pub(crate) const GET_SESSION_OPTIONS: &str = "GetSessionOptions";
/// `DoAction`: ends the session.
pub(crate) const CLOSE_SESSION: &str = "CloseSession";

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SessionOptionValue {
    #[prost(oneof = "OptionValue", tags = "1, 2, 3, 4, 5")]
    pub(crate) option_value: Option<OptionValue>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum OptionValue {
    #[prost(string, tag = "1")]
    String(String),
    #[prost(bool, tag = "2")]
    Bool(bool),
    #[prost(sfixed64, tag = "3")]
    Int64(i64),
    #[prost(double, tag = "4")]
    Double(f64),
    #[prost(message, tag = "5")]
    StringList(StringListValue),
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct StringListValue {
    #[prost(string, repeated, tag = "1")]
    pub(crate) values: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SetSessionOptionsRequest {
    #[prost(map = "string, message", tag = "1")]
    pub(crate) session_options: HashMap<String, SessionOptionValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SetSessionOptionsResult {
    #[prost(map = "string, message", tag = "1")]
    pub(crate) errors: HashMap<String, SetSessionOptionError>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SetSessionOptionError {
    #[prost(enumeration = "SetSessionOptionErrorValue", tag = "1")]
    pub(crate) value: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub(crate) enum SetSessionOptionErrorValue {
    Unspecified = 0,
    InvalidName = 1,
    InvalidValue = 2,
    Error = 3,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct GetSessionOptionsResult {
    #[prost(map = "string, message", tag = "1")]
    pub(crate) session_options: HashMap<String, SessionOptionValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct CloseSessionResult {
    #[prost(enumeration = "CloseSessionStatus", tag = "1")]
    pub(crate) status: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub(crate) enum CloseSessionStatus {
    Unspecified = 0,
    Closed = 1,
    Closing = 2,
    NotCloseable = 3,
}

impl SessionOptionValue {
    /// The value as `SET` takes it; `None` for one that is not set or is a list.
    pub(crate) fn as_text(&self) -> Option<String> {
        match self.option_value.as_ref()? {
            OptionValue::String(value) => Some(value.clone()),
            OptionValue::Bool(value) => Some(value.to_string()),
            OptionValue::Int64(value) => Some(value.to_string()),
            OptionValue::Double(value) => Some(value.to_string()),
            OptionValue::StringList(_) => None,
        }
    }
}

impl From<String> for SessionOptionValue {
    fn from(value: String) -> Self {
        Self { option_value: Some(OptionValue::String(value)) }
    }
}
