//! From the bytes of a descriptor or a ticket to what is asked for.

use arrow_flight::FlightDescriptor;
use arrow_flight::flight_descriptor::DescriptorType;
use arrow_flight::sql::{Any, Command};
use portolan_connectors::node::protocol::{FRAGMENT_TYPE_URL, FragmentTicket};
use portolan_engine::Result;
use prost::Message;

use crate::failure::{invalid, unsupported};

/// What a descriptor or a ticket asks for.
#[derive(Debug)]
pub(crate) enum Request {
    /// Something of Flight SQL.
    Sql(Command),
    /// A fragment from another node.
    Fragment(FragmentTicket),
}

/// Reads a ticket.
pub(crate) fn ticket(bytes: &[u8]) -> Result<Request> {
    let any = any(bytes)?;
    if any.type_url == FRAGMENT_TYPE_URL {
        let fragment = FragmentTicket::decode(any.value)
            .map_err(|e| invalid("the fragment's ticket is malformed").with_source(e))?;
        return Ok(Request::Fragment(fragment));
    }
    Ok(Request::Sql(sql(any)?))
}

/// Reads a descriptor.
pub(crate) fn descriptor(descriptor: &FlightDescriptor) -> Result<Request> {
    if descriptor.r#type != DescriptorType::Cmd as i32 {
        return Err(unsupported("this node answers Flight SQL commands; it has no flights under paths"));
    }
    // The command of a fragment is its ticket, and those of Flight SQL are told apart as tickets are.
    ticket(&descriptor.cmd)
}

/// Reads a descriptor where only Flight SQL has a meaning.
pub(crate) fn command(from: &FlightDescriptor) -> Result<Command> {
    match descriptor(from)? {
        Request::Sql(command) => Ok(command),
        Request::Fragment(_) => Err(unknown(FRAGMENT_TYPE_URL)),
    }
}

/// Reads the message that Flight SQL wraps everything in.
pub(crate) fn any(bytes: &[u8]) -> Result<Any> {
    Any::decode(bytes).map_err(|e| invalid("the request is malformed: it is no Flight SQL message").with_source(e))
}

fn sql(any: Any) -> Result<Command> {
    match Command::try_from(any).map_err(|e| invalid("the Flight SQL command is malformed").with_source(e))? {
        Command::Unknown(any) => Err(unknown(&any.type_url)),
        command => Ok(command),
    }
}

/// A command that nothing here answers.
pub(crate) fn unknown(type_url: &str) -> portolan_engine::Error {
    let name: String = type_url.rsplit('/').next().unwrap_or(type_url).chars().take(200).collect();
    unsupported(format!("this node does not do `{name}`"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use arrow_flight::sql::{CommandStatementQuery, ProstMessageExt};
    use portolan_engine::ErrorKind;

    use super::*;

    #[test]
    fn commands_are_read() {
        let query = CommandStatementQuery { query: "SELECT 1".to_owned(), transaction_id: None };
        let bytes = query.as_any().encode_to_vec();
        let read = descriptor(&FlightDescriptor::new_cmd(bytes.clone())).unwrap();
        assert!(matches!(read, Request::Sql(Command::CommandStatementQuery(read)) if read == query));
        assert!(matches!(ticket(&bytes).unwrap(), Request::Sql(_)));
    }

    #[test]
    fn nonsense_is_refused_by_kind() {
        assert_eq!(ticket(b"\xff\xff\xff").unwrap_err().kind(), ErrorKind::InvalidQuery);
        assert_eq!(ticket(b"").unwrap_err().kind(), ErrorKind::Unsupported);
        let other = Any { type_url: "type.googleapis.com/x.Y".to_owned(), value: Default::default() };
        let error = ticket(&other.encode_to_vec()).unwrap_err();
        assert_eq!((error.kind(), error.context()), (ErrorKind::Unsupported, "this node does not do `x.Y`"));
        let path = FlightDescriptor::new_path(vec!["a".to_owned()]);
        assert_eq!(descriptor(&path).unwrap_err().kind(), ErrorKind::Unsupported);
        let broken = Any { type_url: FRAGMENT_TYPE_URL.to_owned(), value: b"\xff"[..].into() };
        assert_eq!(ticket(&broken.encode_to_vec()).unwrap_err().kind(), ErrorKind::InvalidQuery);
    }
}
