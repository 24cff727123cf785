//! Draws the place in a statement that an error message refers to.

use portolan_catalog::{printable, printable_lines};
use unicode_width::UnicodeWidthChar;

/// Returns the line and the column, from 1, that `message` refers to, as in `line 2, column 7` or `Line: 2, Column: 7`.
pub fn find_place(message: &str) -> Option<(usize, usize)> {
    let message = message.to_lowercase();
    message.match_indices("line").find_map(|(at, word)| {
        let (line, rest) = number(&message[at + word.len()..])?;
        let rest = rest.strip_prefix(',')?.trim_start().strip_prefix("column")?;
        let (column, _) = number(rest)?;
        Some((line, column))
    })
}

/// Returns `message` in one line, followed by the line of `sql` that it refers to, with a mark under the place. Both are
/// safe to show.
pub fn draw(message: &str, sql: &str) -> String {
    let message = printable(message);
    let drawn = find_place(&message).and_then(|(line, column)| {
        let text = sql.lines().nth(line.checked_sub(1)?)?;
        let number = line.to_string();
        let gutter = " ".repeat(number.len());
        let before: String = text.chars().take(column.checked_sub(1)?).collect();
        // Keeps tabs, so that the mark is below the character on the terminal.
        let lead: String = printable_lines(&before)
            .chars()
            .map(|c| if c == '\t' { "\t".into() } else { " ".repeat(c.width().unwrap_or(0)) })
            .collect();
        Some(format!("{message}\n  {number} │ {}\n  {gutter} │ {lead}^", printable_lines(text)))
    });
    drawn.unwrap_or_else(|| message.into_owned())
}

/// Returns the number at the start of `text`, after spaces and colons, and the rest of the text.
fn number(text: &str) -> Option<(usize, &str)> {
    let text = text.trim_start_matches([' ', ':']);
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found_in_messages() {
        assert_eq!(find_place("line 2, column 7: no such thing"), Some((2, 7)));
        assert_eq!(find_place("Expected: x, found: y at Line: 12, Column: 3"), Some((12, 3)));
        assert_eq!(find_place("the outline 4 is wrong"), None);
        assert_eq!(find_place("lines, line, line 3"), None);
    }

    #[test]
    fn the_place_is_marked() {
        let drawn = draw("no such port (line 2, column 6)", "SELECT *\nFROM ordrs");
        assert_eq!(drawn, "no such port (line 2, column 6)\n  2 │ FROM ordrs\n    │      ^");
        assert_eq!(draw("no such port (line 9, column 1)", "SELECT 1"), "no such port (line 9, column 1)");
        assert_eq!(draw("it broke", "SELECT 1"), "it broke");
    }

    #[test]
    fn unsafe_characters_are_escaped_above_the_mark() {
        let drawn = draw("no `\u{1b}[1m`\n (line 1, column 3)", "\u{1b}\tx");
        assert_eq!(drawn, "no `\\u{1b}[1m`\\n (line 1, column 3)\n  1 │ \\u{1b}\tx\n    │       \t^");
    }

    #[test]
    fn the_mark_stands_under_wide_characters() {
        assert_eq!(draw("line 1, column 4", "表'x y"), "line 1, column 4\n  1 │ 表'x y\n    │     ^");
    }
}
