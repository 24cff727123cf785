//! Errors about regular expressions. The libraries report them in many kinds of errors.

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use portolan_connectors::Subject;

use super::Message;

/// Describes the fault of a regular expression, if an error is about one.
pub(super) fn message(root: &DataFusionError) -> Option<Message> {
    const NOT_COMPILED: &str = "Regular expression did not compile";
    let message = text(root)?;
    if message.contains("Compiled regex exceeds size limit") || message.contains("CompiledTooBig") {
        return Some(Message::new("a regular expression is too large: write a shorter one, or repeat less of it"));
    }
    if let Some((_, drawn)) = message.split_once("regex parse error:") {
        // The message draws the pattern and the place in it in several lines, and ends with the fault.
        let fault = drawn.rsplit_once("error: ").map_or("", |(_, fault)| fault.lines().next().unwrap_or_default());
        let text = Message::new(format!("a regular expression is not valid: {fault}"));
        let pattern = drawn.lines().map(str::trim).find(|line| !line.is_empty());
        return Some(match pattern {
            Some(pattern) => text.about(Subject::Constant(pattern.to_owned())),
            None => text,
        });
    }
    message.contains(NOT_COMPILED).then(|| Message::new("a regular expression is not valid"))
}

/// Returns the message of an error if a regular expression may be its cause.
fn text(root: &DataFusionError) -> Option<String> {
    match root {
        DataFusionError::Internal(message) | DataFusionError::Execution(message) => Some(message.clone()),
        DataFusionError::ArrowError(inner, _) => match inner.as_ref() {
            ArrowError::ComputeError(message) => Some(message.clone()),
            _ => None,
        },
        DataFusionError::External(inner) => Some(inner.to_string()),
        _ => None,
    }
}
