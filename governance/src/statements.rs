//! Splits a file of policies into its statements, so that each has a line of its own and an error in one leaves the
//! others readable.

/// The largest depth of brackets in a statement.
const MAX_DEPTH: usize = 32;
/// The largest number of logical and arithmetic operators and `if` in a statement.
const MAX_OPERATORS: usize = 128;
/// The largest number of dots in a statement.
const MAX_DOTS: usize = 256;

/// A statement of a file, up to its `;`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Statement<'a> {
    /// The line of the first character, from 1.
    pub(crate) line: usize,
    /// The text, without comments before it.
    pub(crate) text: &'a str,
}

impl Statement<'_> {
    /// Returns the line of a byte of the text.
    pub(crate) fn line_at(&self, offset: usize) -> usize {
        self.line + self.text.bytes().take(offset).filter(|b| *b == b'\n').count()
    }

    /// Checks that the statement is small enough: Cedar parses and evaluates expressions recursively, and a deep one
    /// would overflow the stack.
    ///
    /// # Errors
    /// The bound that it exceeds, and what to do.
    pub(crate) fn check_size(&self) -> Result<(), String> {
        let (mut depth, mut deepest, mut operators, mut dots) = (0_usize, 0, 0, 0);
        let mut before = ' ';
        let mut chars = self.text.chars();
        while let Some(c) = chars.next() {
            match c {
                '"' => {
                    while let Some(c) = chars.next().filter(|c| *c != '"') {
                        if c == '\\' {
                            chars.next();
                        }
                    }
                }
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => depth = depth.saturating_sub(1),
                '&' | '|' if before == c => operators += 1,
                '+' | '-' | '*' | '!' => operators += 1,
                'f' if before == 'i' => operators += 1,
                '.' => dots += 1,
                _ => {}
            }
            deepest = deepest.max(depth);
            before = c;
        }
        let split = "split the policy into several, or test several values with `[…].contains(…)`";
        match (deepest, operators, dots) {
            (MAX_DEPTH.., ..) => Err(format!("more than {MAX_DEPTH} nested brackets; {split}")),
            (_, MAX_OPERATORS.., _) => Err(format!("more than {MAX_OPERATORS} operators; {split}")),
            (.., MAX_DOTS..) => Err(format!("more than {MAX_DOTS} attributes; {split}")),
            _ => Ok(()),
        }
    }
}

/// Returns the statements of `text`. Comments run from `//` to the end of the line; strings are in double quotes.
pub(crate) fn statements(text: &str) -> Vec<Statement<'_>> {
    let bytes = text.as_bytes();
    let (mut found, mut start, mut line, mut i) = (vec![], None, 1, 0);
    while i < bytes.len() {
        match bytes[i] {
            b'/' if bytes.get(i + 1) == Some(&b'/') => {
                while i < bytes.len() && bytes[i] != b'\n' {
                    i += 1;
                }
                continue;
            }
            b'"' => {
                start.get_or_insert((i, line));
                i += 1;
                while i < bytes.len() && bytes[i] != b'"' {
                    line += usize::from(bytes[i] == b'\n');
                    i += 1 + usize::from(bytes[i] == b'\\');
                }
            }
            b';' => {
                let (from, at) = start.take().unwrap_or((i, line));
                found.push(Statement { line: at, text: &text[from..=i] });
            }
            b'\n' => line += 1,
            b if b.is_ascii_whitespace() => {}
            _ => {
                start.get_or_insert((i, line));
            }
        }
        i += 1;
    }
    if let Some((from, at)) = start {
        found.push(Statement { line: at, text: text[from..].trim_end() });
    }
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    #[test]
    fn statements_and_lines() {
        let text = "// a; b\n@id(\"x;\\\";\")\npermit(principal,\n action, // c;\n resource);\n\nforbid(a) ; rest\n";
        let found = statements(text);
        assert_eq!(found.iter().map(|s| s.line).collect::<Vec<_>>(), [2, 7, 7]);
        assert_eq!(found[1].text, "forbid(a) ;");
        assert_eq!(found[2].text, "rest");
        assert_eq!(found[0].line_at(found[0].text.find("action").unwrap()), 4);
        assert_eq!(statements(" // only a comment"), []);
        assert_eq!(statements("\"unclosed \\").len(), 1);
    }

    #[test]
    fn the_size_is_bounded() {
        let check = |text: &str| Statement { line: 1, text }.check_size();
        assert_eq!(check(&format!("{}{}", "(".repeat(31), ")".repeat(31))), Ok(()));
        assert!(check(&"[".repeat(32)).is_err_and(|e| e.starts_with("more than 32 nested brackets")));
        assert_eq!(check(&"a && ".repeat(127)), Ok(()));
        assert!(check(&"a || ".repeat(128)).is_err());
        assert!(check(&"if a then ".repeat(128)).is_err());
        assert!(check(&"!".repeat(128)).is_err());
        assert!(check(&".a".repeat(256)).is_err());
        assert_eq!(check(&format!("\"{}\\\"{}\"", "(".repeat(99), "&&".repeat(999))), Ok(()));
        assert_eq!(check(&"(a), ".repeat(9_999)), Ok(()));
    }
}
