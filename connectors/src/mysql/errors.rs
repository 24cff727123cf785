//! Errors of the driver and the server as errors of the query path. What the server says has names of hosts and accounts,
//! so only the owner sees it.

use mysql_async::{DriverError, Error as MysqlError, IoError, ServerError};

use crate::databases::Origin;
use crate::error::{Error, ErrorKind};

/// Errors with which a server refuses an account.
const REFUSED_ACCOUNT: [u16; 8] = [1044, 1045, 1129, 1130, 1698, 1862, 3118, 4151];
/// Errors about a right that the account does not have.
const NO_RIGHT: [u16; 8] = [1044, 1142, 1143, 1227, 1345, 1370, 1449, 3530];
/// Errors about a value that a table does not accept.
const REFUSED_VALUE: [u16; 24] = [
    1048, 1062, 1169, 1216, 1264, 1265, 1292, 1364, 1366, 1367, 1406, 1441, 1452, 1525, 1526, 1582, 1644, 1748, 1761,
    1906, 3105, 3819, 3854, 4025,
];

/// Returns the error of a connection that could not be opened.
pub(super) fn not_connected(origin: &Origin, error: &MysqlError) -> Error {
    let unavailable = |what: &str| {
        let context = format!("{} {what}", origin.shown);
        Error::new(ErrorKind::SiteUnavailable, context).for_owner(format!(
            "{} {what}: {}",
            origin.for_owner(),
            message_of(error)
        ))
    };
    match error {
        MysqlError::Server(e) if REFUSED_ACCOUNT.contains(&e.code) => unavailable("refused the account of this node"),
        // It may be created later.
        MysqlError::Server(e) if e.code == 1049 => unavailable("does not exist on its server"),
        MysqlError::Server(_) => failed(origin, error),
        MysqlError::Driver(DriverError::NoClientSslFlagFromServer) => {
            unavailable("offers no TLS: set `tls: disable` in its config if the network is trusted")
        }
        MysqlError::Driver(DriverError::UnknownAuthPlugin { .. } | DriverError::CleartextPluginDisabled) => {
            unavailable("asks for an authentication that this node does not support")
        }
        MysqlError::Io(IoError::Tls(_)) => unavailable("has no TLS certificate that this node trusts"),
        // The driver passes a failed handshake on as an error of the socket.
        MysqlError::Io(IoError::Io(e)) if e.kind() == std::io::ErrorKind::InvalidData => {
            unavailable("has no TLS certificate that this node trusts")
        }
        _ => unavailable("cannot be reached"),
    }
}

/// Returns the error of a statement that failed.
pub(super) fn failed(origin: &Origin, error: &MysqlError) -> Error {
    match error {
        MysqlError::Server(error) => refused(origin, error),
        _ => with_detail(origin, ErrorKind::SiteUnavailable, "closed the connection of a query", &message_of(error)),
    }
}

/// Returns the error of a statement that the server refused or stopped.
pub(super) fn refused(origin: &Origin, error: &ServerError) -> Error {
    use ErrorKind as K;
    let (kind, what) = match error.code {
        code if NO_RIGHT.contains(&code) => {
            (K::PermissionDenied, "does not let the account of this node read the data")
        }
        1046 | 1049 | 1051 | 1146 => (K::NotFound, "no longer has the table of a port"),
        1054 => (K::InvalidData, "no longer has a column of a port"),
        1356 => (
            K::InvalidData,
            "has a view that refers to something that does not exist, or that its definer may not read",
        ),
        1969 | 3024 => return origin.late(),
        1317 | 1927 => (K::Cancelled, "stopped a query: somebody cancelled it there"),
        1205 => (K::SiteUnavailable, "waited too long for the locks of another transaction: try again"),
        1213 => (K::SiteUnavailable, "stopped a transaction that waited for another one in a circle: try again"),
        1690 | 1264 | 1292 => (K::InvalidData, "has a value outside the range of its type"),
        1792 | 1290 => (K::InvalidQuery, "accepts no changes from a query"),
        1040 | 1203 | 1226 => {
            (K::ResourceExhausted, "accepts no more connections: lower `connections`, or raise its limit")
        }
        code if is_exhausted(code) => (K::ResourceExhausted, "ran out of memory, disk or packet size"),
        1064 | 1149 => (K::Internal, "did not understand a query that this node wrote"),
        _ => (K::SiteUnavailable, "could not run a query"),
    };
    with_detail(origin, kind, what, &format!("{} (error {})", error.message, error.code))
}

/// True if a server ran out of something.
fn is_exhausted(code: u16) -> bool {
    [3, 1021, 1037, 1038, 1041, 1114, 1119, 1153, 1436, 1461].contains(&code)
}

/// Returns the error of rows that a table does not accept; of another kind, the error of a failed statement. A writer
/// sees the server's words, which name the column.
pub(super) fn not_added(origin: &Origin, error: &ServerError) -> Error {
    if REFUSED_VALUE.contains(&error.code) {
        return Error::new(ErrorKind::InvalidQuery, format!("{} refused a row: {}", origin.shown, error.message));
    }
    if NO_RIGHT.contains(&error.code) {
        let what = "does not let the account of this node add rows";
        return with_detail(origin, ErrorKind::PermissionDenied, what, &error.message);
    }
    refused(origin, error)
}

/// Returns the error of a query of a contract that the server does not accept.
pub(super) fn invalid_query(origin: &Origin, error: &ServerError) -> Error {
    match error.code {
        code if NO_RIGHT.contains(&code) || is_exhausted(code) => refused(origin, error),
        1205 | 1213 | 1317 | 1927 | 1969 | 3024 => refused(origin, error),
        _ => with_detail(
            origin,
            ErrorKind::InvalidQuery,
            "does not accept the query of a port, which must be one SELECT statement",
            &error.message,
        ),
    }
}

fn with_detail(origin: &Origin, kind: ErrorKind, what: &str, detail: &str) -> Error {
    Error::new(kind, format!("{} {what}", origin.shown)).for_owner(format!("{} {what}: {detail}", origin.for_owner()))
}

/// Returns what an error says, without the packets that some of the driver's errors contain.
fn message_of(error: &MysqlError) -> String {
    match error {
        MysqlError::Driver(DriverError::UnexpectedPacket { .. }) => "the answer is not in the protocol of MySQL".into(),
        MysqlError::Server(error) => format!("{} (error {})", error.message, error.code),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin() -> Origin {
        Origin { shown: "MariaDB `shop`".into(), url: "mariadb://db:3306/shop".into() }
    }

    #[test]
    fn the_owner_alone_sees_what_the_server_says() {
        let denied = ServerError {
            code: 1143,
            message: "SELECT command denied to user 'p'@'10.0.0.5' for column 'mail' in table 'cust'".into(),
            state: "42000".into(),
        };
        let error = refused(&origin(), &denied);
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert_eq!(error.chain(), "MariaDB `shop` does not let the account of this node read the data");
        assert_eq!(
            error.owner_chain(),
            "MariaDB `shop` (mariadb://db:3306/shop) does not let the account of this node read the data: SELECT command denied to user \
             'p'@'10.0.0.5' for column 'mail' in table 'cust' (error 1143)"
        );
    }

    #[test]
    fn a_database_that_does_not_exist_yet_is_unavailable() {
        let unknown = ServerError { code: 1049, message: "Unknown database 'shop'".into(), state: "42000".into() };
        let error = not_connected(&origin(), &MysqlError::Server(unknown));
        assert_eq!(error.kind(), ErrorKind::SiteUnavailable);
        assert_eq!(error.chain(), "MariaDB `shop` does not exist on its server");
        assert!(error.owner_chain().ends_with(": Unknown database 'shop' (error 1049)"), "{}", error.owner_chain());
    }

    #[test]
    fn codes_have_kinds() {
        let kind =
            |code| refused(&origin(), &ServerError { code, message: String::new(), state: String::new() }).kind();
        for (code, expected) in [
            (1146, ErrorKind::NotFound),
            (1969, ErrorKind::DeadlineExceeded),
            (1205, ErrorKind::SiteUnavailable),
            (1040, ErrorKind::ResourceExhausted),
            (1153, ErrorKind::ResourceExhausted),
            (1690, ErrorKind::InvalidData),
            (1064, ErrorKind::Internal),
            (2999, ErrorKind::SiteUnavailable),
        ] {
            assert_eq!(kind(code), expected, "{code}");
        }
    }
}
