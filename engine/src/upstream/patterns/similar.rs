//! Patterns of `SIMILAR TO` as regular expressions that match a whole string.

use std::iter::Peekable;
use std::str::Chars;

/// Translates a pattern into a regular expression.
///
/// # Errors
/// The reason why the pattern is invalid.
pub(super) fn translate(pattern: &str, escape: Option<char>) -> Result<String, String> {
    let mut parser =
        Parser { rest: pattern.chars().peekable(), escape, out: String::new(), open: 0, repeatable: false };
    parser.all().map_err(|what| format!("the SIMILAR TO pattern `{pattern}` is invalid: {what}"))?;
    Ok(format!("^(?s:{})$", parser.out))
}

struct Parser<'a> {
    rest: Peekable<Chars<'a>>,
    escape: Option<char>,
    out: String,
    /// The number of open brackets.
    open: usize,
    /// True if the last element can be repeated.
    repeatable: bool,
}

impl Parser<'_> {
    fn all(&mut self) -> Result<(), String> {
        while let Some(c) = self.rest.next() {
            match c {
                c if Some(c) == self.escape => {
                    let escaped = self.escaped()?;
                    self.literal(escaped);
                }
                '%' => self.atom(".*"),
                '_' => self.atom("."),
                '(' => {
                    self.open += 1;
                    self.out.push_str("(?:");
                    self.repeatable = false;
                }
                ')' => {
                    self.open = self.open.checked_sub(1).ok_or("a `)` has no opening `(`")?;
                    self.atom(")");
                }
                '|' => {
                    self.out.push('|');
                    self.repeatable = false;
                }
                '*' | '+' | '?' => self.repeat(&c.to_string())?,
                '{' => {
                    let count = self.count()?;
                    self.repeat(&count)?;
                }
                '[' => self.list()?,
                '}' | ']' => return Err(format!("a `{c}` has no opening bracket: put the escape character before it")),
                c => self.literal(c),
            }
        }
        if self.open > 0 { Err("a `(` is not closed".to_owned()) } else { Ok(()) }
    }

    fn atom(&mut self, text: &str) {
        self.out.push_str(text);
        self.repeatable = true;
    }

    fn literal(&mut self, c: char) {
        push_literal(&mut self.out, c);
        self.repeatable = true;
    }

    fn repeat(&mut self, how: &str) -> Result<(), String> {
        if !self.repeatable {
            return Err(format!("`{how}` repeats nothing: put brackets around what it repeats"));
        }
        self.out.push_str(how);
        self.repeatable = false;
        Ok(())
    }

    /// Translates the character after the escape character.
    fn escaped(&mut self) -> Result<char, String> {
        match self.rest.next() {
            None => Err("it ends in its escape character: write it twice to mean itself".to_owned()),
            Some(c) if c.is_alphanumeric() && Some(c) != self.escape => {
                Err(format!("expected a special character after the escape character, got `{c}`"))
            }
            Some(c) => Ok(c),
        }
    }

    /// Translates `{2}`, `{2,}` or `{2,5}`, without the first brace.
    fn count(&mut self) -> Result<String, String> {
        let mut count = String::from("{");
        loop {
            match self.rest.next() {
                Some('}') => break,
                Some(c) if c.is_ascii_digit() || c == ',' => count.push(c),
                _ => return Err("expected repetitions such as `{2}`, `{2,}` or `{2,5}` after a `{`".to_owned()),
            }
        }
        let bounds: Vec<&str> = count[1..].split(',').collect();
        let number = |text: &str| text.parse::<u16>().ok();
        let is_valid = match bounds.as_slice() {
            [exactly] => number(exactly).is_some(),
            [least, ""] => number(least).is_some(),
            [least, most] => matches!((number(least), number(most)), (Some(least), Some(most)) if least <= most),
            _ => false,
        };
        count.push('}');
        if is_valid { Ok(count) } else { Err(format!("expected a number of repetitions, got `{count}`")) }
    }

    /// Translates `[a-z_]` or `[^a-z]`, without the first bracket.
    fn list(&mut self) -> Result<(), String> {
        self.out.push('[');
        if self.rest.next_if_eq(&'^').is_some() {
            self.out.push('^');
        }
        let mut is_empty = true;
        loop {
            let c = self.rest.next().ok_or("a `[` is not closed")?;
            match c {
                ']' if is_empty => return Err("`[]` lists no characters".to_owned()),
                ']' => break,
                '[' => self.class()?,
                '^' if Some(c) != self.escape => {
                    return Err("`^` is not allowed inside of a list: put the escape character before it".to_owned());
                }
                c => self.range(c)?,
            }
            is_empty = false;
        }
        self.atom("]");
        Ok(())
    }

    /// Translates a character, or a range that begins with it.
    fn range(&mut self, first: char) -> Result<(), String> {
        let first = if Some(first) == self.escape { self.escaped()? } else { first };
        push_literal(&mut self.out, first);
        let mut ahead = self.rest.clone();
        if ahead.next() != Some('-') || self.escape == Some('-') || matches!(ahead.peek(), None | Some(']')) {
            return Ok(());
        }
        self.rest.next();
        let last = self.rest.next().ok_or("a `[` is not closed")?;
        let last = if Some(last) == self.escape { self.escaped()? } else { last };
        if last < first {
            return Err(format!("the range `{first}-{last}` is empty"));
        }
        self.out.push('-');
        push_literal(&mut self.out, last);
        Ok(())
    }

    /// Translates a class such as `[:alpha:]`, without the first bracket.
    fn class(&mut self) -> Result<(), String> {
        let mut name = String::new();
        if self.rest.next_if_eq(&':').is_none() {
            return Err("a `[` is not allowed in a list: put the escape character before it".to_owned());
        }
        while let Some(c) = self.rest.next_if(char::is_ascii_alphabetic) {
            name.push(c.to_ascii_lowercase());
        }
        if self.rest.next() != Some(':') || self.rest.next() != Some(']') {
            return Err("expected a class such as `[:alpha:]` after `[:`".to_owned());
        }
        self.out.push_str(match name.as_str() {
            "alpha" => r"\p{Alphabetic}",
            "upper" => r"\p{Uppercase}",
            "lower" => r"\p{Lowercase}",
            "digit" => "0-9",
            "alnum" => r"\p{Alphabetic}0-9",
            "space" | "whitespace" => r"\s",
            "punct" => "[:punct:]",
            "xdigit" => "[:xdigit:]",
            _ => return Err(format!("unknown class `[:{name}:]`")),
        });
        Ok(())
    }
}

fn push_literal(out: &mut String, c: char) {
    if c.is_ascii_punctuation() {
        out.push('\\');
    }
    out.push(c);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::translate;

    #[test]
    fn patterns_become_expressions() {
        for (pattern, expected) in [
            ("a", "a"),
            ("a%", "a.*"),
            ("_b", ".b"),
            ("a.b^$", r"a\.b\^\$"),
            ("(ab|c)+d?", "(?:ab|c)+d?"),
            ("a{2,3}", "a{2,3}"),
            ("a{2,}", "a{2,}"),
            (r"100\%", r"100\%"),
            (r"\\", r"\\"),
            ("[a-c_]", r"[a-c\_]"),
            ("[^a-]", r"[^a\-]"),
            ("[[:digit:]x]", "[0-9x]"),
            ("[a&&b~~c]", r"[a\&\&b\~\~c]"),
        ] {
            assert_eq!(translate(pattern, Some('\\')).unwrap(), format!("^(?s:{expected})$"), "{pattern}");
        }
        assert_eq!(translate("a!%!!", Some('!')).unwrap(), r"^(?s:a\%\!)$");
        assert_eq!(translate(r"a\", None).unwrap(), r"^(?s:a\\)$");
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for pattern in [
            "(", ")", "*a", "a**", "a|*", "a{", "a{2", "a{3,2}", "a{,2}", "[", "[]", "[a", "]", "}", r"a\", r"\d",
            "[z-a]", "[[:no:]]",
        ] {
            let error = translate(pattern, Some('\\')).unwrap_err();
            assert!(error.starts_with(&format!("the SIMILAR TO pattern `{pattern}` is invalid: ")), "{error}");
        }
    }
}
