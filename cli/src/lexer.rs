//! Splits SQL text into tokens, also if the text is unfinished. Statement splitting, colours and completion use the
//! tokens. The lexer never fails.

use std::ops::Range;

/// The kind of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A keyword or an unquoted name.
    Word,
    /// `"quoted name"`.
    QuotedName,
    /// `'text'` or `$$text$$`.
    Text,
    /// A number.
    Number,
    /// A line comment or a block comment.
    Comment,
    /// A semicolon outside quotes and comments.
    Semicolon,
    /// White space.
    Space,
    /// Any other single character.
    Other,
}

/// A token. Every character of the text belongs to exactly one token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The kind of the token.
    pub kind: Kind,
    /// The byte range of the token in the text.
    pub range: Range<usize>,
    /// True if the token is complete. False for a quote or a comment that is still open.
    pub closed: bool,
}

/// Splits `sql` into tokens.
pub fn tokens(sql: &str) -> Vec<Token> {
    let mut tokens = vec![];
    let mut start = 0;
    while start < sql.len() {
        let token = token(sql, start);
        start = token.range.end;
        tokens.push(token);
    }
    tokens
}

fn token(sql: &str, start: usize) -> Token {
    let rest = &sql[start..];
    let mut chars = rest.chars();
    let first = chars.next().unwrap_or(' ');
    let second = chars.next();
    let run = |wanted: fn(char) -> bool| rest.find(|c| !wanted(c)).unwrap_or(rest.len());
    let (kind, length, closed) = match (first, second) {
        ('-', Some('-')) => (Kind::Comment, rest.find('\n').unwrap_or(rest.len()), true),
        ('/', Some('*')) => {
            let (length, closed) = block_comment(rest);
            (Kind::Comment, length, closed)
        }
        ('\'', _) => {
            let (length, closed) = quoted(rest, '\'');
            (Kind::Text, length, closed)
        }
        ('"', _) => {
            let (length, closed) = quoted(rest, '"');
            (Kind::QuotedName, length, closed)
        }
        ('$', Some(c)) if c == '$' || c.is_alphabetic() || c == '_' => match dollar_quoted(rest) {
            Some((length, closed)) => (Kind::Text, length, closed),
            None => (Kind::Other, 1, true),
        },
        (';', _) => (Kind::Semicolon, 1, true),
        (c, _) if c.is_whitespace() => (Kind::Space, run(char::is_whitespace), true),
        (c, _) if c.is_ascii_digit() => {
            (Kind::Number, run(|c| c.is_ascii_alphanumeric() || c == '.' || c == '_'), true)
        }
        (c, _) if c.is_alphabetic() || c == '_' => {
            (Kind::Word, run(|c| c.is_alphanumeric() || c == '_' || c == '$'), true)
        }
        (c, _) => (Kind::Other, c.len_utf8(), true),
    };
    Token { kind, range: start..start + length, closed }
}

/// Returns the length of the quoted string or name at the start of `text`, and true if it is closed. Two quotes in a
/// row stand for one.
fn quoted(text: &str, quote: char) -> (usize, bool) {
    let mut at = quote.len_utf8();
    while let Some(found) = text[at..].find(quote) {
        at += found + quote.len_utf8();
        if !text[at..].starts_with(quote) {
            return (at, true);
        }
        at += quote.len_utf8();
    }
    (text.len(), false)
}

/// Returns the length of the block comment at the start of `text`, and true if it is closed. Comments nest.
fn block_comment(text: &str) -> (usize, bool) {
    let (mut at, mut depth) = (2, 1);
    while depth > 0 {
        match (text[at..].find("/*"), text[at..].find("*/")) {
            (Some(open), Some(close)) if open < close => (at, depth) = (at + open + 2, depth + 1),
            (_, Some(close)) => (at, depth) = (at + close + 2, depth - 1),
            (_, None) => return (text.len(), false),
        }
    }
    (at, true)
}

/// Returns the length of `$tag$…$tag$` at the start of `text`, and true if it is closed.
fn dollar_quoted(text: &str) -> Option<(usize, bool)> {
    let end = text[1..].find('$')? + 2;
    let tag = &text[..end];
    if !tag[1..end - 1].chars().all(|c| c.is_alphanumeric() || c == '_') {
        return None;
    }
    Some(match text[end..].find(tag) {
        Some(found) => (end + found + tag.len(), true),
        None => (text.len(), false),
    })
}

/// A statement of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// The text of the statement, without the semicolon and the surrounding space.
    pub text: &'a str,
    /// True if a semicolon ends the statement.
    pub ended: bool,
}

/// Splits a script into statements. Omits statements that have only comments and space.
pub fn statements(sql: &str) -> Vec<Piece<'_>> {
    let mut pieces = vec![];
    let (mut start, mut end, mut empty) = (None, 0, true);
    let mut finish = |start: &mut Option<usize>, end: usize, empty: &mut bool, ended: bool| {
        if let Some(start) = start.take()
            && !std::mem::replace(empty, true)
        {
            pieces.push(Piece { text: &sql[start..end], ended });
        }
    };
    for token in tokens(sql) {
        match token.kind {
            Kind::Semicolon => finish(&mut start, end, &mut empty, true),
            Kind::Space => {}
            kind => {
                start.get_or_insert(token.range.start);
                end = token.range.end;
                empty &= kind == Kind::Comment;
            }
        }
    }
    finish(&mut start, end, &mut empty, false);
    pieces
}

/// True if `sql` is complete: a semicolon ends the last statement, and only space and comments follow.
pub fn is_complete(sql: &str) -> bool {
    let tokens = tokens(sql);
    tokens.last().is_none_or(|last| last.closed) && statements(sql).last().is_none_or(|last| last.ended)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn texts(sql: &str) -> Vec<&str> {
        statements(sql).iter().map(|piece| piece.text).collect()
    }

    #[test]
    fn statements_end_at_semicolons_that_stand_outside() {
        assert_eq!(texts("SELECT 1; SELECT 2"), ["SELECT 1", "SELECT 2"]);
        assert_eq!(texts("SELECT ';', \"a;b\", 'it''s;' ; x"), ["SELECT ';', \"a;b\", 'it''s;'", "x"]);
        assert_eq!(texts("SELECT $$a;b$$, $t$;$$;$t$;"), ["SELECT $$a;b$$, $t$;$$;$t$"]);
        assert_eq!(texts("-- one;\nSELECT 1 -- two;\n;"), ["-- one;\nSELECT 1 -- two;"]);
        assert_eq!(texts("SELECT /* a /* nested; */ ; */ 1;"), ["SELECT /* a /* nested; */ ; */ 1"]);
        assert_eq!(texts(";; -- nothing\n; /* here */"), [] as [&str; 0]);
        assert_eq!(texts("SELECT $1; SELECT 'ü;'"), ["SELECT $1", "SELECT 'ü;'"]);
    }

    #[test]
    fn what_is_unfinished_is_told() {
        for whole in ["", "SELECT 1;", "SELECT 1; -- done", "SELECT ';';\n"] {
            assert!(is_complete(whole), "{whole}");
        }
        for open in ["SELECT 1", "SELECT ';", "SELECT 1; SELECT", "SELECT 1; /* ", "SELECT \";", "$$;"] {
            assert!(!is_complete(open), "{open}");
        }
    }

    #[test]
    fn every_character_belongs_to_one_token() {
        for sql in ["SELECT a.b, 'x''y' FROM \"t\" -- c\nWHERE ü >= 1.5e3 /* d", "$", "$$", "'", "/*", "\u{a0}–"] {
            let mut at = 0;
            for token in tokens(sql) {
                assert_eq!(token.range.start, at, "{sql}");
                assert!(token.range.end > at, "{sql}");
                at = token.range.end;
            }
            assert_eq!(at, sql.len(), "{sql}");
        }
    }
}
