//! Splits SQL text into tokens, and scripts into statements and backslash commands, also if the text is unfinished.
//! Colours and completion use the tokens. The lexer never fails.

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
    /// A backslash outside quotes and comments, and the rest of its line: a command.
    Command,
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

/// Splits `sql` into tokens, without space and comments.
pub fn content_tokens(sql: &str) -> impl Iterator<Item = Token> + Clone {
    tokens(sql).into_iter().filter(|token| !matches!(token.kind, Kind::Space | Kind::Comment))
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
        ('e' | 'E', Some('\'')) => {
            let (length, closed) = escaped(rest);
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
        ('\\', _) => (Kind::Command, rest.find('\n').unwrap_or(rest.len()), true),
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

/// Returns the name that `"text"` stands for. The closing quote may be missing.
pub fn unquoted(text: &str) -> String {
    let inner = text.strip_prefix('"').unwrap_or(text);
    inner.strip_suffix('"').unwrap_or(inner).replace("\"\"", "\"")
}

/// Returns a text as a string of SQL, between quotes.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
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

/// Returns the length of the string `E'…'` at the start of `text`, and true if it is closed. A backslash escapes the
/// next character.
fn escaped(text: &str) -> (usize, bool) {
    let mut chars = text.char_indices().skip(2).peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => {
                chars.next();
            }
            '\'' if chars.next_if(|(_, next)| *next == '\'').is_none() => return (at + 1, true),
            _ => {}
        }
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

/// A place in a text. Both numbers start at 1, and columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Position {
    /// The start of a text.
    pub const START: Self = Self { line: 1, column: 1 };

    /// Returns the place behind `text`, which starts at this place.
    #[must_use]
    pub fn after(self, text: &str) -> Self {
        match text.rsplit_once('\n') {
            Some((before, last)) => {
                Self { line: self.line + before.matches('\n').count() + 1, column: last.chars().count() + 1 }
            }
            None => Self { column: self.column + text.chars().count(), ..self },
        }
    }
}

/// The kind of a piece of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PieceKind {
    /// A statement, or the rest of one behind a command. A semicolon ends it.
    Statement,
    /// The part of a statement before a command, or before the end of the script.
    Open,
    /// A backslash command.
    Command,
}

/// A piece of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// The kind.
    pub kind: PieceKind,
    /// The text, without the semicolon. The pieces of one statement, one after the other, are the text of the statement.
    pub text: &'a str,
    /// The place of the text in the script.
    pub start: Position,
}

/// Splits a script into statements and commands. Omits statements that have only comments and space.
pub fn pieces(sql: &str) -> Vec<Piece<'_>> {
    let mut splitter = Splitter { sql, pieces: vec![], open: None };
    let mut position = Position::START;
    for token in tokens(sql) {
        let text = &sql[token.range.clone()];
        splitter.push(&token, position);
        position = position.after(text);
    }
    splitter.finish();
    splitter.pieces
}

/// The state of [`pieces`].
struct Splitter<'a> {
    sql: &'a str,
    pieces: Vec<Piece<'a>>,
    open: Option<OpenPiece>,
}

/// A piece whose end is not reached.
struct OpenPiece {
    range: Range<usize>,
    start: Position,
    /// True if the piece has only comments so far.
    is_empty: bool,
    /// True if the piece is the rest of a statement behind a command.
    continues: bool,
}

impl Splitter<'_> {
    fn push(&mut self, token: &Token, position: Position) {
        let range = token.range.clone();
        match token.kind {
            Kind::Semicolon => {
                self.end(PieceKind::Statement, None);
            }
            Kind::Command => {
                // The piece keeps the space before the command, so that the next one can follow.
                let continues = self.end(PieceKind::Open, Some(range.start));
                let text = self.sql[range.clone()].trim_end();
                self.pieces.push(Piece { kind: PieceKind::Command, text, start: position });
                self.open = continues.then(|| OpenPiece {
                    range: range.end..range.end,
                    start: position.after(&self.sql[range]),
                    is_empty: true,
                    continues: true,
                });
            }
            Kind::Space => {}
            kind => {
                let new = || OpenPiece { range: range.clone(), start: position, is_empty: true, continues: false };
                let open = self.open.get_or_insert_with(new);
                open.range.end = range.end;
                open.is_empty &= kind == Kind::Comment;
            }
        }
    }

    /// Adds the open piece, if it belongs to a statement. Its text ends at `end`, or behind its last token. Returns true
    /// if there was such a piece.
    fn end(&mut self, kind: PieceKind, end: Option<usize>) -> bool {
        let Some(open) = self.open.take() else { return false };
        let is_part = !open.is_empty || open.continues;
        if is_part {
            let text = &self.sql[open.range.start..end.unwrap_or(open.range.end)];
            self.pieces.push(Piece { kind, text, start: open.start });
        }
        is_part
    }

    fn finish(&mut self) {
        if self.open.as_ref().is_some_and(|open| !open.range.is_empty()) {
            self.end(PieceKind::Open, None);
        }
    }
}

/// True if `text` has more than comments and space.
pub fn has_content(text: &str) -> bool {
    content_tokens(text).next().is_some()
}

/// True if `sql` is complete: a semicolon ends the last statement, or the text ends with a command. Only space and
/// comments follow.
pub fn is_complete(sql: &str) -> bool {
    let tokens = tokens(sql);
    let last = tokens.iter().rev().find(|token| !matches!(token.kind, Kind::Space | Kind::Comment));
    let is_ended = last.is_none_or(|last| matches!(last.kind, Kind::Semicolon | Kind::Command));
    tokens.last().is_none_or(|last| last.closed) && is_ended
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn texts(sql: &str) -> Vec<&str> {
        pieces(sql).iter().map(|piece| piece.text).collect()
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
        assert_eq!(texts(r"SELECT E'it\'s;', e'\\'; SELECT 2"), [r"SELECT E'it\'s;', e'\\'", "SELECT 2"]);
    }

    #[test]
    fn commands_stand_between_statements_and_within_them() {
        use PieceKind::{Command, Open, Statement};

        let found = |sql| pieces(sql).iter().map(|piece| (piece.kind, piece.text)).collect::<Vec<_>>();
        assert_eq!(found("\\x on \nSELECT 1;"), [(Command, "\\x on"), (Statement, "SELECT 1")]);
        assert_eq!(found("SELECT 1 \\gx"), [(Open, "SELECT 1 "), (Command, "\\gx")]);
        assert_eq!(
            found("SELECT 1,\n\\timing\n  2;"),
            [(Open, "SELECT 1,\n"), (Command, "\\timing"), (Statement, "\n  2")]
        );
        assert_eq!(found("SELECT 1\n\\x\n;"), [(Open, "SELECT 1\n"), (Command, "\\x"), (Statement, "")]);
        assert_eq!(found("-- a\n\\x\n-- b"), [(Command, "\\x")]);
        assert_eq!(found("SELECT '\\x', \"\\y\" /* \\z */;"), [(Statement, "SELECT '\\x', \"\\y\" /* \\z */")]);
    }

    #[test]
    fn pieces_know_their_places() {
        let starts: Vec<_> = pieces("SELECT 1; SELECT\n 2;\n\n  \\d ü\n/* ü */ SELECT 3")
            .iter()
            .map(|piece| (piece.start.line, piece.start.column))
            .collect();
        assert_eq!(starts, [(1, 1), (1, 11), (4, 3), (5, 1)]);
        let behind = pieces("SELECT 'ü', \\x\n 2;")[2].start;
        assert_eq!((behind.line, behind.column), (1, 15));
    }

    #[test]
    fn what_is_unfinished_is_told() {
        for whole in ["", "SELECT 1;", "SELECT 1; -- done", "SELECT ';';\n", "\\d", "SELECT 1 \\g", "-- a"] {
            assert!(is_complete(whole), "{whole}");
        }
        for open in
            ["SELECT 1", "SELECT ';", "SELECT 1; SELECT", "SELECT 1; /* ", "SELECT \";", "$$;", "'\\d", "E'\\';"]
        {
            assert!(!is_complete(open), "{open}");
        }
    }

    #[test]
    fn names_are_what_their_quotes_enclose() {
        for (text, name) in [("\"a b\"", "a b"), ("\"a\"\"b\"", "a\"b"), ("\"\"\"x\"\"\"", "\"x\""), ("\"open", "open")]
        {
            assert_eq!(unquoted(text), name, "{text}");
        }
    }

    #[test]
    fn comments_are_no_content() {
        assert!(!has_content(" -- a\n/* b */") && has_content("/* b */ x") && has_content("'"));
    }

    #[test]
    fn every_character_belongs_to_one_token() {
        for sql in [
            "SELECT a.b, 'x''y' FROM \"t\" -- c\nWHERE ü >= 1.5e3 /* d",
            "$",
            "$$",
            "'",
            "/*",
            "\u{a0}–",
            "E'\\",
            "x \\d",
        ] {
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
