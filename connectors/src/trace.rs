//! The place of a piece of work in a trace, as W3C Trace Context defines it. A trace follows a query from the client over
//! all nodes that work for the query.

use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

/// The only version of `traceparent` that is written. Later versions are read as this one.
const VERSION: &str = "00";
/// The version that no header may have.
const INVALID_VERSION: &str = "ff";
/// The bit of the flags that says that the sender records the trace.
const SAMPLED: u8 = 1;
/// The largest size of a `tracestate` that is passed on, in bytes.
const MAX_STATE: usize = 512;

/// The place of a piece of work in a trace: the trace, the span of the work, and the span that the work is a part of.
#[derive(Clone, PartialEq, Eq)]
pub struct TraceContext {
    trace: u128,
    span: u64,
    parent: Option<u64>,
    sampled: bool,
    /// The `tracestate` of other vendors, which is passed on unchanged.
    state: Option<Arc<str>>,
}

impl TraceContext {
    /// Returns the first span of a new trace.
    pub fn start() -> Self {
        Self { trace: Uuid::new_v4().as_u128(), span: new_span(), parent: None, sampled: true, state: None }
    }

    /// Returns a new span that is a part of this one.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { span: new_span(), parent: Some(self.span), ..self.clone() }
    }

    /// Reads the span of the sender from the headers of a request. `None` for an invalid `traceparent`. An invalid
    /// `tracestate` is ignored.
    pub fn parse(traceparent: &str, tracestate: Option<&str>) -> Option<Self> {
        let mut parts = traceparent.trim().split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        // Only a later version may have further parts.
        let has_more = parts.next().is_some();
        if !is_hex(version, 2) || version == INVALID_VERSION || (version == VERSION && has_more) {
            return None;
        }
        if !is_hex(trace, 32) || !is_hex(span, 16) || !is_hex(flags, 2) {
            return None;
        }
        let trace = u128::from_str_radix(trace, 16).ok().filter(|trace| *trace != 0)?;
        let span = u64::from_str_radix(span, 16).ok().filter(|span| *span != 0)?;
        let sampled = u8::from_str_radix(flags, 16).ok()? & SAMPLED == SAMPLED;
        let is_state = |state: &&str| {
            !state.is_empty() && state.len() <= MAX_STATE && state.bytes().all(|b| b == b' ' || b.is_ascii_graphic())
        };
        Some(Self { trace, span, parent: None, sampled, state: tracestate.filter(is_state).map(Arc::from) })
    }

    /// Returns the `traceparent` for work that is a part of this span.
    pub fn traceparent(&self) -> String {
        let flags = if self.sampled { SAMPLED } else { 0 };
        format!("{VERSION}-{:032x}-{:016x}-{flags:02x}", self.trace, self.span)
    }

    /// Returns the `tracestate` to send with [`TraceContext::traceparent`].
    pub fn tracestate(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// Returns the identity of the trace.
    pub fn trace_id(&self) -> u128 {
        self.trace
    }

    /// Returns the identity of the span.
    pub fn span_id(&self) -> u64 {
        self.span
    }

    /// Returns the span that this one is a part of, if it is known.
    pub fn parent_id(&self) -> Option<u64> {
        self.parent
    }

    /// True if the spans of the trace are recorded.
    pub fn is_sampled(&self) -> bool {
        self.sampled
    }
}

/// Shows the identity of the trace, as log lines have it.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.trace)
    }
}

impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.traceparent())
    }
}

fn new_span() -> u64 {
    // The second half of a random UUID is never 0.
    Uuid::new_v4().as_u64_pair().1
}

/// True for a number of lower-case hexadecimal digits.
fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_header_is_read_and_continued() {
        let sender = TraceContext::parse(PARENT, Some("vendor=1, other=x:y")).unwrap();
        assert_eq!(sender.traceparent(), PARENT);
        let own = sender.child();
        assert_eq!(own.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!((own.trace_id(), own.parent_id()), (sender.trace_id(), Some(0x00f0_67aa_0ba9_02b7)));
        assert_ne!(own.span_id(), sender.span_id());
        assert_eq!(own.tracestate(), Some("vendor=1, other=x:y"));
        assert!(own.is_sampled());
        let unsampled = TraceContext::parse(&PARENT.replace("-01", "-02"), None).unwrap();
        assert!(!unsampled.child().is_sampled());
        assert!(unsampled.traceparent().ends_with("-00"));
    }

    #[test]
    fn a_new_trace_is_a_valid_header() {
        let (one, two) = (TraceContext::start(), TraceContext::start());
        assert_ne!(one.trace_id(), two.trace_id());
        let read = TraceContext::parse(&one.traceparent(), None).unwrap();
        assert_eq!((read.trace_id(), read.span_id()), (one.trace_id(), one.span_id()));
    }

    #[test]
    fn invalid_headers_are_ignored() {
        let zeros = |at: std::ops::Range<usize>| {
            let mut text = PARENT.to_owned();
            text.replace_range(at.clone(), &"0".repeat(at.len()));
            text
        };
        let wrong = [
            String::new(),
            "00".to_owned(),
            PARENT.to_uppercase(),
            PARENT.replacen("00-", "ff-", 1),
            format!("{PARENT}-more"),
            PARENT.replace("4bf9", "4bfg"),
            PARENT.replace("4bf9", "4bf"),
            PARENT.replace("4bf9", "+bf9"),
            zeros(3..35),
            zeros(36..52),
        ];
        for header in wrong {
            assert_eq!(TraceContext::parse(&header, None), None, "{header}");
        }
        assert!(TraceContext::parse(&PARENT.replacen("00-", "01-", 1), None).is_some());
        assert!(TraceContext::parse(&format!("{}-more", PARENT.replacen("00-", "01-", 1)), None).is_some());
        for state in [String::new(), "a\n=b".to_owned(), "x".repeat(MAX_STATE + 1)] {
            assert_eq!(TraceContext::parse(PARENT, Some(&state)).unwrap().tracestate(), None);
        }
    }
}
