//! The patterns of Flight SQL's filters: `%` matches any string, `_` matches one character, and a backslash escapes the
//! character after it.

use std::collections::BTreeMap;

use portolan_catalog::{DomainName, PortName, ProductName};

/// A parsed pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    /// Any string.
    Any,
    /// Only this string, which can be looked up.
    Exactly(String),
    /// Strings that match the tokens.
    Like(Vec<Token>),
}

/// A part of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// This character.
    Literal(char),
    /// Any one character.
    One,
    /// Any number of characters.
    Many,
}

impl Pattern {
    /// Parses a pattern. A backslash at the end stands for itself.
    pub(super) fn new(pattern: &str) -> Self {
        let mut tokens = Vec::new();
        let mut characters = pattern.chars();
        while let Some(character) = characters.next() {
            match character {
                '%' if tokens.last() == Some(&Token::Many) => {}
                '%' => tokens.push(Token::Many),
                '_' => tokens.push(Token::One),
                '\\' => tokens.push(Token::Literal(characters.next().unwrap_or('\\'))),
                other => tokens.push(Token::Literal(other)),
            }
        }
        if tokens == [Token::Many] {
            return Self::Any;
        }
        let text: Option<String> = tokens
            .iter()
            .map(|token| match token {
                Token::Literal(character) => Some(*character),
                Token::One | Token::Many => None,
            })
            .collect();
        text.map_or(Self::Like(tokens), Self::Exactly)
    }

    /// True if the whole of `text` matches.
    pub(super) fn matches(&self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(exact) => exact == text,
            Self::Like(tokens) => like(tokens, text),
        }
    }

    /// Returns the entries whose names match, in order.
    pub(super) fn among<'a, K: Name, V>(
        &'a self,
        entries: &'a BTreeMap<K, V>,
    ) -> impl Iterator<Item = (&'a K, &'a V)> + 'a {
        let (exact, rest) = match self {
            Self::Exactly(name) => (entries.get_key_value(&K::named(name)), None),
            _ => (None, Some(entries.iter().filter(|(name, _)| self.matches(name.text())))),
        };
        exact.into_iter().chain(rest.into_iter().flatten())
    }
}

/// Returns the entry with the given name, or all entries if no name is given. The name is not a pattern.
pub(super) fn named<'a, K: Name, V>(
    entries: &'a BTreeMap<K, V>,
    name: Option<&str>,
) -> impl Iterator<Item = (&'a K, &'a V)> + use<'a, K, V> {
    let (exact, rest) = match name {
        Some(name) => (entries.get_key_value(&K::named(name)), None),
        None => (None, Some(entries.iter())),
    };
    exact.into_iter().chain(rest.into_iter().flatten())
}

/// The names of the mesh, which sort like their strings.
pub(super) trait Name: Ord {
    /// Returns the name with this string.
    fn named(text: &str) -> Self;
    /// Returns the string.
    fn text(&self) -> &str;
}

macro_rules! name {
    ($($type:ident),*) => {
        $(impl Name for $type {
            fn named(text: &str) -> Self {
                Self::new(text)
            }

            fn text(&self) -> &str {
                self.as_str()
            }
        })*
    };
}

name!(DomainName, ProductName, PortName);

/// Matches tokens against a string. It backtracks to the newest `%` only, because the earlier ones have matched as
/// little as possible. The time is therefore bounded by the product of the lengths.
fn like(tokens: &[Token], text: &str) -> bool {
    let (mut token, mut rest) = (0, text.chars());
    let mut newest: Option<(usize, std::str::Chars<'_>)> = None;
    loop {
        let before = rest.clone();
        match (tokens.get(token), rest.next()) {
            (Some(Token::Many), _) => {
                token += 1;
                newest = Some((token, before.clone()));
                rest = before;
            }
            (None, None) => return true,
            (Some(Token::One), Some(_)) => token += 1,
            (Some(Token::Literal(wanted)), Some(character)) if *wanted == character => token += 1,
            _ => {
                let Some((after, from)) = &mut newest else { return false };
                // Let the newest `%` match one more character.
                if from.next().is_none() {
                    return false;
                }
                (token, rest) = (*after, from.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_taken_apart() {
        assert_eq!(Pattern::new("%%"), Pattern::Any);
        assert_eq!(Pattern::new("line\\_items"), Pattern::Exactly("line_items".to_owned()));
        assert_eq!(Pattern::new(""), Pattern::Exactly(String::new()));
        assert_eq!(Pattern::new("a\\"), Pattern::Exactly("a\\".to_owned()));
        assert!(matches!(Pattern::new("a_"), Pattern::Like(_)));
    }

    #[test]
    fn patterns_match_whole_texts() {
        for (pattern, text, expected) in [
            ("%", "", true),
            ("_", "", false),
            ("_", "ü", true),
            ("a%", "abc", true),
            ("a%", "bac", false),
            ("%c", "abcabc", true),
            ("%b%", "abc", true),
            ("a%b%c", "a--b--b--c", true),
            ("a%b%c", "a--b--b--", false),
            ("%\\%", "100%", true),
            ("%\\%", "100", false),
            ("_\\__", "a_b", true),
            ("_\\__", "axb", false),
            ("%ab", "aab", true),
            ("%_b", "b", false),
        ] {
            assert_eq!(Pattern::new(pattern).matches(text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_hostile_pattern_takes_no_time() {
        let pattern = Pattern::new(&"%a".repeat(2_000));
        assert!(!pattern.matches(&"a".repeat(1_999)));
        assert!(pattern.matches(&"a".repeat(2_000)));
    }
}
