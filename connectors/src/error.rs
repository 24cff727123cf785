//! The one error type of the query path. The kind of an error shows the caller what to do, and the context shows where
//! the error arose.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

/// The kind of an error, which decides what the caller can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The query or the request is invalid: change it.
    InvalidQuery,
    /// A named object does not exist.
    NotFound,
    /// An object with this name already exists.
    AlreadyExists,
    /// The caller is not authenticated: log in.
    Unauthenticated,
    /// The caller is not authorized.
    PermissionDenied,
    /// The query or the request is valid, but this node does not support it.
    Unsupported,
    /// A node or a source does not answer, or its answer is not valid: try again later, or contact the owner.
    SiteUnavailable,
    /// The data of a port does not fit its contract: its owner must correct the data or the contract. Another attempt
    /// fails, too.
    InvalidData,
    /// The time limit was exceeded.
    DeadlineExceeded,
    /// A limit was reached, such as memory, disk, concurrency or message size.
    ResourceExhausted,
    /// The query was cancelled.
    Cancelled,
    /// A bug in Portolan.
    Internal,
}

impl ErrorKind {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::InvalidQuery,
        Self::NotFound,
        Self::AlreadyExists,
        Self::Unauthenticated,
        Self::PermissionDenied,
        Self::Unsupported,
        Self::SiteUnavailable,
        Self::InvalidData,
        Self::DeadlineExceeded,
        Self::ResourceExhausted,
        Self::Cancelled,
        Self::Internal,
    ];

    /// Returns the name of the kind in the book, in metrics, in the log and between nodes.
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidQuery => "invalid_query",
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::Unauthenticated => "unauthenticated",
            Self::PermissionDenied => "permission_denied",
            Self::Unsupported => "unsupported",
            Self::SiteUnavailable => "site_unavailable",
            Self::InvalidData => "invalid_data",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::ResourceExhausted => "resource_exhausted",
            Self::Cancelled => "cancelled",
            Self::Internal => "internal",
        }
    }

    /// Returns the kind with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A position in the text of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line, from 1.
    pub line: u64,
    /// The column in characters, from 1.
    pub column: u64,
}

/// The part of a statement that an error is about, if its position is not known where the error arises.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Subject {
    /// A name as SQL reads it: in lower case, unless it is quoted.
    Name(String),
    /// The name of a function, in lower case.
    Function(String),
    /// A constant: the content of a string, or a number.
    Constant(String),
}

/// An error of the query path.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    context: String,
    /// The context for the owner of the data, if it differs.
    owner_context: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
    retry_after: Option<Duration>,
    /// In a box, because few errors have it, and a result is as large as its error.
    fault: Option<Box<StatementFault>>,
}

/// The fault in a statement, as data.
#[derive(Clone, Debug, Default)]
struct StatementFault {
    position: Option<Position>,
    suggestion: Option<String>,
    subject: Option<Subject>,
}

/// A result on the query path.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Returns an error of this kind. `context` says what happened, where, and what to do: lower case, no final period.
    pub fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Self { kind, context: context.into(), owner_context: None, source: None, retry_after: None, fault: None }
    }

    /// Adds the context for the owner of the data, with details that nobody else may see, such as the locations of
    /// files. It takes the place of the other context in the owner's log, and in errors for the owner's administrators.
    #[must_use]
    pub fn for_owner(mut self, context: impl Into<String>) -> Self {
        self.owner_context = Some(context.into());
        self
    }

    /// Adds the error that caused this one.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Puts `outer`, the larger operation that failed, before the context.
    #[must_use]
    pub fn within(mut self, outer: impl fmt::Display) -> Self {
        self.context = format!("{outer}: {}", self.context);
        self.owner_context = self.owner_context.map(|context| format!("{outer}: {context}"));
        self
    }

    /// Sets the position of the fault in the statement, and adds it to the context. Without a position, the error stays
    /// as it is.
    #[must_use]
    pub fn at(mut self, position: impl Into<Option<Position>>) -> Self {
        if let Some(position) = position.into() {
            self.append(&format!(" ({position})"));
            self.fault().position = Some(position);
        }
        self
    }

    /// Returns the error without its position, for a caller who did not write the statement.
    #[must_use]
    pub fn without_position(mut self) -> Self {
        if let Some(position) = self.fault.as_mut().and_then(|fault| fault.position.take()) {
            let place = format!(" ({position})");
            self.context = self.context.replacen(&place, "", 1);
            self.owner_context = self.owner_context.map(|context| context.replacen(&place, "", 1));
        }
        self
    }

    /// Sets the valid name that the caller may have meant, and adds it to the context. Without a name, the error stays
    /// as it is.
    #[must_use]
    pub fn suggesting(mut self, name: Option<impl Into<String>>) -> Self {
        if let Some(name) = name.map(Into::into) {
            self.append(&format!("; did you mean `{name}`?"));
            self.fault().suggestion = Some(name);
        }
        self
    }

    /// Sets the name that [`Error::suggestion`] returns, for a context that has the name already.
    #[must_use]
    pub fn with_suggestion(mut self, name: Option<String>) -> Self {
        if name.is_some() {
            self.fault().suggestion = name;
        }
        self
    }

    /// Sets the part of the statement that the error is about. Code that knows the text of the statement finds the
    /// position of the part.
    #[must_use]
    pub fn about(mut self, subject: Option<Subject>) -> Self {
        if subject.is_some() {
            self.fault().subject = subject;
        }
        self
    }

    /// Adds a detail to the end of the context.
    #[must_use]
    pub fn with_detail(mut self, detail: &str) -> Self {
        self.append(detail);
        self
    }

    fn fault(&mut self) -> &mut StatementFault {
        self.fault.get_or_insert_default()
    }

    fn append(&mut self, text: &str) {
        self.context.push_str(text);
        if let Some(context) = &mut self.owner_context {
            context.push_str(text);
        }
    }

    /// Returns the position of the fault in the statement, if it is known.
    pub fn position(&self) -> Option<Position> {
        self.fault.as_ref()?.position
    }

    /// Returns the valid name that the caller may have meant, as SQL writes it, if there is one.
    pub fn suggestion(&self) -> Option<&str> {
        self.fault.as_ref()?.suggestion.as_deref()
    }

    /// Returns the part of the statement that the error is about, if it is known.
    pub fn subject(&self) -> Option<&Subject> {
        self.fault.as_ref()?.subject.as_ref()
    }

    /// Sets the time after which the caller can try again.
    #[must_use]
    pub fn with_retry_after(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.retry_after = time.into();
        self
    }

    /// Returns the time after which the caller can try again, if it is known.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Returns the kind of the error.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns what happened, where, and what to do, without the causes.
    pub fn context(&self) -> &str {
        &self.context
    }

    /// Returns the context and every cause in one line, as everybody may see it: without what only the owner of the data
    /// may see. Omits a cause whose message is already in the line.
    pub fn chain(&self) -> String {
        with_causes(&self.context, self)
    }

    /// Returns the line of [`Error::chain`] as the owner of the data may see it.
    pub fn owner_chain(&self) -> String {
        join_causes(self.for_owner_or_all(), self, |cause| match cause.downcast_ref::<Self>() {
            Some(ours) => ours.for_owner_or_all().to_owned(),
            None => cause.to_string(),
        })
    }

    fn for_owner_or_all(&self) -> &str {
        self.owner_context.as_deref().unwrap_or(&self.context)
    }

    /// Returns an error of the same kind that has the causes in its context. The time to try again, the position and the
    /// suggestion stay.
    #[must_use]
    pub fn flat(&self) -> Self {
        let (context, owner_context) = (self.chain(), self.owner_chain());
        let flat = Self { fault: self.fault.clone(), ..Self::new(self.kind, context) };
        let flat = flat.with_retry_after(self.retry_after);
        if owner_context == flat.context { flat } else { flat.for_owner(owner_context) }
    }
}

/// Returns `text` with every cause of `error`, in one line. Omits a cause whose message is already in the line.
pub fn with_causes(text: &str, error: &dyn StdError) -> String {
    join_causes(text, error, |cause| cause.to_string())
}

fn join_causes(text: &str, error: &dyn StdError, said_by: impl Fn(&(dyn StdError + 'static)) -> String) -> String {
    let mut text = text.to_owned();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = said_by(cause);
        if !text.contains(&said) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&said);
        }
        next = cause.source();
    }
    text
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.context)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|s| s as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the kind that follows in the list. The match has every kind, or else it does not compile.
    fn next(kind: ErrorKind) -> Option<ErrorKind> {
        match kind {
            ErrorKind::InvalidQuery => Some(ErrorKind::NotFound),
            ErrorKind::NotFound => Some(ErrorKind::AlreadyExists),
            ErrorKind::AlreadyExists => Some(ErrorKind::Unauthenticated),
            ErrorKind::Unauthenticated => Some(ErrorKind::PermissionDenied),
            ErrorKind::PermissionDenied => Some(ErrorKind::Unsupported),
            ErrorKind::Unsupported => Some(ErrorKind::SiteUnavailable),
            ErrorKind::SiteUnavailable => Some(ErrorKind::InvalidData),
            ErrorKind::InvalidData => Some(ErrorKind::DeadlineExceeded),
            ErrorKind::DeadlineExceeded => Some(ErrorKind::ResourceExhausted),
            ErrorKind::ResourceExhausted => Some(ErrorKind::Cancelled),
            ErrorKind::Cancelled => Some(ErrorKind::Internal),
            ErrorKind::Internal => None,
        }
    }

    #[test]
    fn the_list_has_every_kind() {
        let kinds: Vec<_> = std::iter::successors(Some(ErrorKind::InvalidQuery), |kind| next(*kind)).collect();
        assert_eq!(kinds, ErrorKind::ALL);
    }

    #[test]
    fn only_the_owner_sees_its_details() {
        let inner = Error::new(ErrorKind::SiteUnavailable, "file o.csv is gone").for_owner("file /srv/o.csv is gone");
        let outer = Error::new(ErrorKind::SiteUnavailable, "cannot read").with_source(inner).within("port p");
        assert_eq!(outer.chain(), "port p: cannot read: file o.csv is gone");
        assert_eq!(outer.owner_chain(), "port p: cannot read: file /srv/o.csv is gone");
        let flat = outer.flat().within("domain d");
        assert_eq!(
            (flat.kind(), flat.to_string()),
            (ErrorKind::SiteUnavailable, format!("domain d: {}", outer.chain()))
        );
        assert_eq!(flat.owner_chain(), format!("domain d: {}", outer.owner_chain()));
        let refused = Error::new(ErrorKind::ResourceExhausted, "no slot").with_retry_after(Duration::from_secs(2));
        assert_eq!(refused.flat().retry_after(), refused.retry_after());
        let plain = Error::new(ErrorKind::NotFound, "no port");
        assert_eq!((plain.chain(), plain.flat().owner_chain()), ("no port".to_owned(), "no port".to_owned()));
    }

    #[test]
    fn the_fault_of_a_statement_is_text_and_data() {
        let position = Position { line: 2, column: 7 };
        let error = Error::new(ErrorKind::NotFound, "there is no port `ordrs`").suggesting(Some("orders")).at(position);
        let error = error.within("domain d").flat();
        assert_eq!(error.chain(), "domain d: there is no port `ordrs`; did you mean `orders`? (line 2, column 7)");
        assert_eq!((error.position(), error.suggestion()), (Some(position), Some("orders")));
        let error = error.for_owner("of d (line 2, column 7)").without_position();
        assert_eq!(error.chain(), "domain d: there is no port `ordrs`; did you mean `orders`?");
        assert_eq!((error.owner_chain(), error.position()), ("of d".to_owned(), None));
        let plain = Error::new(ErrorKind::NotFound, "x").suggesting(None::<String>).with_suggestion(None).about(None);
        assert_eq!((plain.context(), plain.position(), plain.suggestion()), ("x", None, None));
        let subject = Subject::Name("x".to_owned());
        assert_eq!(plain.about(Some(subject.clone())).flat().subject(), Some(&subject));
    }
}
