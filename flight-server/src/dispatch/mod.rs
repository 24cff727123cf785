//! Flight's calls as typed requests. Dispatch decodes a request, passes it to a [`Handler`], and encodes the response.
//! It does not use the engine: the handler decides how to respond to each caller.

mod action;
mod action_types;
mod calls;
mod handler;
mod message;
mod reflection;
mod request;
mod server;
mod session_messages;
mod upload;

pub use handler::{Answers, CallContext, Handler, Head, Messages, PutAnswer};
pub use message::Message;
pub use request::Request;
pub use server::FlightServer;
pub use session_messages::{
    CloseSessionStatus, OptionValue, SessionOptions, SetSessionOptionErrorValue, StringListValue,
};
pub use upload::{Upload, UploadedRows};

pub(crate) use action::plain;
pub(crate) use reflection::reflection;
pub(crate) use request::{ticket, unknown};
