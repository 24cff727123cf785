//! Exit codes: 0 for success, 1 for a failure, 2 for invalid input, 130 for an interrupted command.

use portolan_node::{Error, ErrorKind};

/// Returns the exit code of a command that ends with `error`. A closed output is a success.
pub fn exit_code(error: &Error) -> u8 {
    match error.kind() {
        ErrorKind::Config => 2,
        ErrorKind::Failed => 1,
        ErrorKind::BrokenPipe => 0,
        ErrorKind::Interrupted => 130,
    }
}
