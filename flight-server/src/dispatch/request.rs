//! Typed requests, read from the bytes of a descriptor or a ticket.

use arrow_flight::FlightDescriptor;
use arrow_flight::flight_descriptor::DescriptorType;
use arrow_flight::sql::{Any, Command};
use bytes::Bytes;
use portolan_connectors::node::protocol::{FRAGMENT_TYPE_URL, FragmentTicket};
use portolan_engine::{Error, Result};
use prost::Message;

use crate::failure::{invalid, unsupported};

/// The request in a descriptor or a ticket.
#[derive(Debug)]
pub enum Request {
    /// A Flight SQL command.
    Sql(Command),
    /// A fragment from another node.
    Fragment(FragmentTicket),
    /// A message of an unknown type, by the name of the type.
    Unknown(String),
    /// Bytes that are not a Flight SQL message.
    Bytes(Bytes),
    /// A path, which is how Flight without SQL names its streams.
    Path(Vec<String>),
}

impl Request {
    /// Returns the Flight SQL command.
    ///
    /// # Errors
    /// `InvalidQuery` if the bytes are not a command, `Unsupported` for any other request.
    pub fn sql(self) -> Result<Command> {
        match self {
            Self::Sql(command) => Ok(command),
            other => Err(other.refused()),
        }
    }

    /// Returns the error that refuses the request.
    pub fn refused(&self) -> Error {
        match self {
            Self::Sql(command) => unknown(command.type_url()),
            Self::Fragment(_) => unknown(FRAGMENT_TYPE_URL),
            Self::Unknown(type_url) => unknown(type_url),
            Self::Bytes(_) => invalid("the request is malformed: it is not a Flight SQL message"),
            Self::Path(_) => unsupported("this node supports Flight SQL commands, not paths"),
        }
    }
}

/// Reads a ticket.
pub(crate) fn ticket(bytes: &Bytes) -> Result<Request> {
    // Much plain text also decodes as a message without known fields. Only the type distinguishes them.
    let any = match Any::decode(bytes.as_ref()) {
        Ok(any) if !any.type_url.is_empty() => any,
        _ => return Ok(Request::Bytes(bytes.clone())),
    };
    if any.type_url == FRAGMENT_TYPE_URL {
        let fragment = FragmentTicket::decode(any.value)
            .map_err(|e| invalid("the fragment's ticket is malformed").with_source(e))?;
        return Ok(Request::Fragment(fragment));
    }
    match Command::try_from(any).map_err(|e| invalid("the Flight SQL command is malformed").with_source(e))? {
        Command::Unknown(any) => Ok(Request::Unknown(any.type_url)),
        command => Ok(Request::Sql(command)),
    }
}

/// Reads a descriptor.
pub(crate) fn descriptor(descriptor: &FlightDescriptor) -> Result<Request> {
    match descriptor.r#type {
        t if t == DescriptorType::Cmd as i32 => ticket(&descriptor.cmd),
        t if t == DescriptorType::Path as i32 => Ok(Request::Path(descriptor.path.clone())),
        _ => Err(invalid("the descriptor is neither a command nor a path")),
    }
}

/// Reads the message that wraps every Flight SQL message.
pub(super) fn any(bytes: &[u8]) -> Result<Any> {
    Any::decode(bytes).map_err(|e| invalid("the request is malformed: it is not a Flight SQL message").with_source(e))
}

/// Returns the error for a command that this node does not answer.
pub(crate) fn unknown(type_url: &str) -> Error {
    let name: String = type_url.rsplit('/').next().unwrap_or(type_url).chars().take(200).collect();
    unsupported(format!("this node does not support `{name}`"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use arrow_flight::sql::{CommandStatementQuery, ProstMessageExt};
    use portolan_engine::ErrorKind;

    use super::*;

    fn read(bytes: impl Into<Bytes>) -> Result<Command> {
        ticket(&bytes.into())?.sql()
    }

    #[test]
    fn commands_are_read() {
        let query = CommandStatementQuery { query: "SELECT 1".to_owned(), transaction_id: None };
        let bytes = query.as_any().encode_to_vec();
        let described = descriptor(&FlightDescriptor::new_cmd(bytes.clone())).unwrap();
        assert!(matches!(described, Request::Sql(Command::CommandStatementQuery(read)) if read == query));
        assert!(read(bytes).is_ok());
    }

    #[test]
    fn nonsense_is_refused_by_kind() {
        assert_eq!(read(&b"\xff\xff\xff"[..]).unwrap_err().kind(), ErrorKind::InvalidQuery);
        assert_eq!(read(&b""[..]).unwrap_err().kind(), ErrorKind::InvalidQuery);
        assert!(matches!(ticket(&"heavy query".into()).unwrap(), Request::Bytes(text) if text == "heavy query"));
        let other = Any { type_url: "type.googleapis.com/x.Y".to_owned(), value: Default::default() };
        let error = read(other.encode_to_vec()).unwrap_err();
        assert_eq!((error.kind(), error.context()), (ErrorKind::Unsupported, "this node does not support `x.Y`"));
        let path = FlightDescriptor::new_path(vec!["a".to_owned()]);
        assert_eq!(descriptor(&path).unwrap().sql().unwrap_err().kind(), ErrorKind::Unsupported);
        let broken = Any { type_url: FRAGMENT_TYPE_URL.to_owned(), value: b"\xff"[..].into() };
        assert_eq!(read(broken.encode_to_vec()).unwrap_err().kind(), ErrorKind::InvalidQuery);
    }
}
