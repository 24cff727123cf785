//! The options between `EXPLAIN` and the query. DataFusion's parser knows its own formats, but not Portolan's. So this
//! module removes EXPLAIN and its options, and leaves the query in its place: errors then show the place in the whole
//! statement.

use portolan_catalog::nearest::nearest;
use sqlparser::dialect::GenericDialect;
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Word};

use super::invalid;
use crate::Result;

/// The options of an EXPLAIN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ExplainOptions {
    /// True if the query runs and is measured.
    pub(crate) analyze: bool,
    /// True if the plan after each pass is shown. Then the format is [`Format::Text`].
    pub(crate) verbose: bool,
    pub(crate) format: Format,
    /// True if the decisions of policies are shown, and no plan.
    pub(crate) policy: bool,
}

/// The output format of an EXPLAIN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Format {
    /// Text for people.
    #[default]
    Text,
    /// One document for programs.
    Json,
    /// A picture in the language of Graphviz.
    Graphviz,
    /// A picture in SVG.
    Svg,
}

impl Format {
    const ALL: &[(&str, Self)] = &[
        ("text", Self::Text),
        ("tree", Self::Text),
        ("json", Self::Json),
        ("graphviz", Self::Graphviz),
        ("dot", Self::Graphviz),
        ("svg", Self::Svg),
    ];

    fn parse(name: &str) -> Result<Self> {
        let wanted = name.to_lowercase();
        Self::ALL.iter().find(|(n, _)| *n == wanted).map(|(_, format)| *format).ok_or_else(|| {
            let near = nearest(&wanted, Self::ALL.iter().map(|(n, _)| *n));
            invalid(format!("EXPLAIN has no format `{name}`: use TEXT, TREE, JSON, GRAPHVIZ or SVG")).suggesting(near)
        })
    }
}

/// Returns the options of an EXPLAIN, and the statement with spaces in the place of EXPLAIN and its options; `None` if
/// the statement is not an EXPLAIN.
///
/// # Errors
/// `InvalidQuery` for an unknown option, with the nearest one, and for VERBOSE with a format that is not text.
pub(super) fn take_explain(sql: &str) -> Result<Option<(ExplainOptions, String)>> {
    // If the text cannot be split into tokens, the parser of statements reports the error.
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location() else { return Ok(None) };
    let tokens: Vec<_> = tokens.into_iter().filter(|t| !matches!(t.token, Token::Whitespace(_))).collect();
    let mut words = Words { tokens: &tokens, next: 0 };
    while words.take_token(&Token::SemiColon) {}
    if !words.take_word("EXPLAIN") {
        return Ok(None);
    }
    let mut options = ExplainOptions::default();
    if words.opens_options() {
        words.list(&mut options)?;
    } else {
        words.keywords(&mut options)?;
    }
    if options.verbose && options.format != Format::Text {
        return Err(invalid("EXPLAIN VERBOSE writes text: leave out FORMAT, or VERBOSE"));
    }
    if options.policy && options != (ExplainOptions { policy: true, ..ExplainOptions::default() }) {
        return Err(invalid("EXPLAIN (POLICY) shows decisions and no plan: leave out ANALYZE, VERBOSE and FORMAT"));
    }
    match words.tokens.get(words.next) {
        Some(first) => Ok(Some((options, blanked(sql, first.span.start)))),
        None => Err(invalid("EXPLAIN takes a query")),
    }
}

/// A position among the tokens.
struct Words<'a> {
    tokens: &'a [TokenWithSpan],
    next: usize,
}

impl Words<'_> {
    fn token(&self, ahead: usize) -> Option<&Token> {
        self.tokens.get(self.next + ahead).map(|t| &t.token)
    }

    fn take_token(&mut self, token: &Token) -> bool {
        let found = self.token(0) == Some(token);
        self.next += usize::from(found);
        found
    }

    fn take_word(&mut self, wanted: &str) -> bool {
        let found = unquoted(self.token(0)).is_some_and(|w| w.value.eq_ignore_ascii_case(wanted));
        self.next += usize::from(found);
        found
    }

    /// True if a bracket opens options, and not the query.
    fn opens_options(&self) -> bool {
        const OPENS_QUERY: &[&str] = &["SELECT", "WITH", "VALUES", "TABLE", "FROM"];
        self.token(0) == Some(&Token::LParen)
            && unquoted(self.token(1)).is_some_and(|w| !OPENS_QUERY.iter().any(|q| w.value.eq_ignore_ascii_case(q)))
    }

    /// Reads options such as `ANALYZE VERBOSE FORMAT JSON`.
    fn keywords(&mut self, options: &mut ExplainOptions) -> Result<()> {
        loop {
            if self.take_word("ANALYZE") {
                options.analyze = true;
            } else if self.take_word("VERBOSE") {
                options.verbose = true;
            } else if self.take_word("FORMAT") {
                options.format = self.format()?;
            } else {
                return Ok(());
            }
        }
    }

    /// Reads options such as `(ANALYZE, VERBOSE off, FORMAT json)`.
    fn list(&mut self, options: &mut ExplainOptions) -> Result<()> {
        const NAMES: &[&str] = &["ANALYZE", "VERBOSE", "FORMAT", "POLICY"];
        self.next += 1;
        loop {
            let name = unquoted(self.token(0)).map(|w| w.value.clone());
            self.next += 1;
            match name.as_deref().map(str::to_uppercase).as_deref() {
                Some("ANALYZE") => options.analyze = self.switch("ANALYZE")?,
                Some("VERBOSE") => options.verbose = self.switch("VERBOSE")?,
                Some("FORMAT") => options.format = self.format()?,
                Some("POLICY") => options.policy = self.switch("POLICY")?,
                Some(other) => {
                    let near = nearest(other, NAMES.iter().copied());
                    let what = format!("EXPLAIN has no option {other}: use ANALYZE, VERBOSE, FORMAT or POLICY");
                    return Err(invalid(what).suggesting(near));
                }
                None => return Err(invalid("an option of EXPLAIN is ANALYZE, VERBOSE, FORMAT or POLICY")),
            }
            if self.take_token(&Token::RParen) {
                return Ok(());
            }
            if !self.take_token(&Token::Comma) {
                return Err(invalid("options of EXPLAIN are separated by commas and end with `)`"));
            }
        }
    }

    /// Reads a switch. A switch without a word is on.
    fn switch(&mut self, name: &str) -> Result<bool> {
        let word = match self.token(0) {
            Some(Token::Comma | Token::RParen) | None => return Ok(true),
            Some(Token::Word(word)) => word.value.clone(),
            Some(Token::SingleQuotedString(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        self.next += 1;
        match word.to_lowercase().as_str() {
            "on" | "true" | "1" => Ok(true),
            "off" | "false" | "0" => Ok(false),
            _ => Err(invalid(format!("{name} of EXPLAIN is `on` or `off`, not `{word}`"))),
        }
    }

    fn format(&mut self) -> Result<Format> {
        let name = match self.token(0) {
            Some(Token::Word(word)) => word.value.clone(),
            Some(Token::SingleQuotedString(text)) => text.clone(),
            _ => return Err(invalid("FORMAT of EXPLAIN is TEXT, TREE, JSON, GRAPHVIZ or SVG")),
        };
        self.next += 1;
        Format::parse(&name)
    }
}

fn unquoted(token: Option<&Token>) -> Option<&Word> {
    match token {
        Some(Token::Word(word)) if word.quote_style.is_none() => Some(word),
        _ => None,
    }
}

/// Returns the text with spaces for everything before a place. Lines stay lines.
fn blanked(sql: &str, from: Location) -> String {
    let (mut line, mut column) = (1, 1);
    let blank = |c: char| {
        let before = (line, column) < (from.line, from.column);
        if c == '\n' {
            (line, column) = (line + 1, 1);
        } else {
            column += 1;
        }
        if before && c != '\n' { ' ' } else { c }
    };
    sql.chars().map(blank).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::ErrorKind;

    #[test]
    fn options_are_understood() {
        let (off, json) = (ExplainOptions::default(), Format::Json);
        for (text, wanted) in [
            ("", off),
            ("ANALYZE ", ExplainOptions { analyze: true, ..off }),
            ("analyze Verbose ", ExplainOptions { analyze: true, verbose: true, ..off }),
            ("FORMAT json ", ExplainOptions { format: json, ..off }),
            ("ANALYZE FORMAT 'svg' ", ExplainOptions { analyze: true, format: Format::Svg, ..off }),
            ("(FORMAT JSON) ", ExplainOptions { format: json, ..off }),
            ("(ANALYZE, FORMAT dot) ", ExplainOptions { analyze: true, format: Format::Graphviz, ..off }),
            ("(ANALYZE off, verbose on, format TREE)", ExplainOptions { verbose: true, ..off }),
            ("(VERBOSE off, FORMAT JSON) ", ExplainOptions { format: json, ..off }),
            ("(policy) ", ExplainOptions { policy: true, ..off }),
            ("(POLICY on, FORMAT TEXT, ANALYZE off) ", ExplainOptions { policy: true, ..off }),
            ("(POLICY off, ANALYZE) ", ExplainOptions { analyze: true, ..off }),
        ] {
            let (options, rest) = take_explain(&format!("EXPLAIN {text}SELECT 1")).unwrap().unwrap();
            assert_eq!((options, rest.trim()), (wanted, "SELECT 1"), "{text}");
        }
    }

    #[test]
    fn the_query_stays_in_its_place() {
        let sql = "EXPLAIN -- why?\n  (FORMAT json) SELECT 'ä'\nFROM é";
        let (_, rest) = take_explain(sql).unwrap().unwrap();
        assert_eq!(rest, "               \n                SELECT 'ä'\nFROM é");
        let (_, rest) = take_explain("EXPLAIN (SELECT 1)").unwrap().unwrap();
        assert_eq!(rest, "        (SELECT 1)");
        for other in ["SELECT 1", "DESCRIBE explain", "", "SELECT '"] {
            assert_eq!(take_explain(other).unwrap(), None, "{other}");
        }
    }

    #[test]
    fn unknown_options_are_errors_with_the_nearest_name() {
        for (text, says) in [
            ("EXPLAIN (FORMAT jsn) SELECT 1", "did you mean `json`?"),
            ("EXPLAIN FORMAT xml SELECT 1", "no format `xml`"),
            ("EXPLAIN (FORMAT) SELECT 1", "FORMAT of EXPLAIN is"),
            ("EXPLAIN (ANALYSE) SELECT 1", "did you mean `ANALYZE`?"),
            ("EXPLAIN (ANALYZE maybe) SELECT 1", "not `maybe`"),
            ("EXPLAIN (ANALYZE VERBOSE) SELECT 1", "not `VERBOSE`"),
            ("EXPLAIN (ANALYZE", "end with `)`"),
            ("EXPLAIN (VERBOSE, FORMAT JSON) SELECT 1", "leave out FORMAT, or VERBOSE"),
            ("EXPLAIN ANALYZE VERBOSE FORMAT svg SELECT 1", "leave out FORMAT, or VERBOSE"),
            ("EXPLAIN (POLICY, ANALYZE) SELECT 1", "shows decisions and no plan"),
            ("EXPLAIN (FORMAT JSON, POLICY) SELECT 1", "shows decisions and no plan"),
            ("EXPLAIN (POLICE) SELECT 1", "did you mean `POLICY`?"),
            ("EXPLAIN (POLICY)", "takes a query"),
            ("EXPLAIN", "takes a query"),
        ] {
            let error = take_explain(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidQuery);
            assert!(error.context().contains(says), "{text}: {error}");
        }
    }
}
