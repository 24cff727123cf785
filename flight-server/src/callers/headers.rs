//! The headers of a call as plain pairs, independent of the protocol.

/// The headers of a call: pairs of a name in lower case and a value, or `None` for a value that is not text. The type
/// has no `Debug`, because headers contain secrets.
pub(crate) struct Headers<'a>(Vec<(&'a str, Option<&'a str>)>);

impl<'a> Headers<'a> {
    /// Returns the values of a header in the order of arrival.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = Option<&'a str>> {
        self.0.iter().filter(move |(given, _)| *given == name).map(|(_, value)| *value)
    }

    /// Returns the first value of a header; `None` if the header is missing or its first value is not text.
    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.all(name).next().flatten()
    }
}

impl<'a> FromIterator<(&'a str, Option<&'a str>)> for Headers<'a> {
    fn from_iter<I: IntoIterator<Item = (&'a str, Option<&'a str>)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_in_order_and_the_first_one_counts() {
        let pairs = [("cookie", Some("a=1")), ("catalog", None), ("cookie", Some("b=2")), ("catalog", Some("geo"))];
        let headers: Headers<'_> = pairs.into_iter().collect();
        assert!(headers.all("cookie").flatten().eq(["a=1", "b=2"]));
        assert_eq!(headers.text("cookie"), Some("a=1"));
        assert_eq!(headers.text("catalog"), None, "the first value is not text");
        assert!(headers.all("schema").next().is_none());
    }
}
