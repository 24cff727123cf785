//! Draws the place in a statement that an error message refers to.

use portolan_catalog::{printable, printable_lines};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::lexer::Position;
use crate::terminal;

/// The columns of a line of text that is not for a terminal.
const MOST_COLUMNS: usize = 200;
/// The fewest columns of a line in which a place is marked.
const LEAST_COLUMNS: usize = 20;

/// Returns the line and the column, from 1, that `message` refers to, as in `(line 2, column 7)` or `Line: 2, Column: 7`. A
/// place in brackets comes first: a value in the message may look like one.
fn find_place(message: &str) -> Option<(usize, usize)> {
    let message = message.to_lowercase();
    let find = |start: &str| {
        message.match_indices(start).find_map(|(at, word)| {
            let (line, rest) = number(&message[at + word.len()..])?;
            let rest = rest.strip_prefix(',')?.trim_start().strip_prefix("column")?;
            let (column, _) = number(rest)?;
            Some((line, column))
        })
    };
    find("(line").or_else(|| find("line"))
}

/// Returns `message` in one line, followed by the line of `sql` that it refers to, with a mark under the place. Both are
/// safe to show. `start` is the place of `sql` in its script: the numbers in the result are those of the script.
pub fn draw(message: &str, sql: &str, start: Position) -> String {
    let message = printable(message);
    let drawn = find_place(&message).and_then(|(line, column)| {
        let text = sql.lines().nth(line.checked_sub(1)?)?;
        let number = in_script(line, column, start).line.to_string();
        let room = terminal::width().unwrap_or(MOST_COLUMNS).saturating_sub(number.len() + 5);
        let (before, text) = excerpt(text, column.checked_sub(1)?, room.max(LEAST_COLUMNS));
        let gutter = " ".repeat(number.len());
        // Keeps tabs, so that the mark is below the character on the terminal.
        let lead: String = printable_lines(&before)
            .chars()
            .map(|c| if c == '\t' { "\t".into() } else { " ".repeat(c.width().unwrap_or(0)) })
            .collect();
        let message = moved(&message, start);
        Some(format!("{message}\n  {number} │ {}\n  {gutter} │ {lead}^", printable_lines(&text)))
    });
    drawn.unwrap_or_else(|| message.into_owned())
}

/// Returns the part of a line around a place that fits into `room` columns, with marks where the line is cut, and what is
/// before the place.
fn excerpt(line: &str, place: usize, room: usize) -> (String, String) {
    let at = line.char_indices().nth(place).map_or(line.len(), |(at, _)| at);
    let (before, after) = line.split_at(at);
    if line.width() <= room {
        return (before.to_owned(), line.to_owned());
    }
    let half = room.saturating_sub(2) / 2;
    let kept = &before[before.len() - fitting(before.chars().rev(), half)..];
    let next = &after[..fitting(after.chars(), half)];
    let (start, end) = (if kept == before { "" } else { "…" }, if next == after { "" } else { "…" });
    (format!("{start}{kept}"), format!("{start}{kept}{next}{end}"))
}

/// Returns the number of bytes of the first characters that fit into `room` columns.
fn fitting(characters: impl Iterator<Item = char>, room: usize) -> usize {
    let mut used = 0;
    let fits = |c: &char| {
        used += c.width().unwrap_or(0);
        used <= room
    };
    characters.take_while(fits).map(char::len_utf8).sum()
}

/// Returns the line of the script that `message` refers to: the line of its place, or the first line of the statement,
/// which starts at `start`.
pub fn line(message: &str, start: Position) -> usize {
    find_place(message).map_or(start.line, |(line, column)| in_script(line, column, start).line)
}

/// Returns the place in a script of a place in a statement that starts at `start`.
fn in_script(line: usize, column: usize, start: Position) -> Position {
    match line {
        0 | 1 => Position { line: start.line, column: start.column + column.saturating_sub(1) },
        _ => Position { line: start.line + line - 1, column },
    }
}

/// Returns the message with the places of the script, where it has places of the statement: `(line 1, column 8)`.
fn moved(message: &str, start: Position) -> String {
    let mut moved = String::with_capacity(message.len());
    let mut parts = message.split("(line ");
    moved.push_str(parts.next().unwrap_or_default());
    for part in parts {
        moved.push_str("(line ");
        let place = number(part).and_then(|(line, rest)| {
            let (column, rest) = number(rest.strip_prefix(", column ")?)?;
            rest.starts_with(')').then(|| (in_script(line, column, start), rest))
        });
        match place {
            Some((place, rest)) => moved.push_str(&format!("{}, column {}{rest}", place.line, place.column)),
            None => moved.push_str(part),
        }
    }
    moved
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
        assert_eq!(find_place("cannot convert 'line 1, column 3' to INTEGER (line 4, column 8)"), Some((4, 8)));
    }

    #[test]
    fn the_place_is_marked() {
        let drawn = draw("no such port (line 2, column 6)", "SELECT *\nFROM ordrs", Position::START);
        assert_eq!(drawn, "no such port (line 2, column 6)\n  2 │ FROM ordrs\n    │      ^");
        assert_eq!(
            draw("no such port (line 9, column 1)", "SELECT 1", Position::START),
            "no such port (line 9, column 1)"
        );
        assert_eq!(draw("it broke", "SELECT 1", Position::START), "it broke");
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let line = "SELECT a, b, c FROM somewhere";
        let parts = |line: &str, place, room| {
            let (before, text) = excerpt(line, place, room);
            format!("{before}|{text}")
        };
        assert_eq!(parts(line, 10, 29), "SELECT a, |SELECT a, b, c FROM somewhere");
        assert_eq!(parts(line, 7, 20), "SELECT |SELECT a, b, c F…");
        assert_eq!(parts(line, 16, 12), "…, c F|…, c FROM s…");
        assert_eq!(parts(line, 99, 12), "…where|…where");
        assert_eq!(parts("表表表表表表", 3, 8), "…表|…表表…");
    }

    #[test]
    fn the_place_is_that_of_the_script() {
        let start = Position { line: 7, column: 11 };
        let drawn = draw("no such port (line 2, column 6)", "SELECT *\nFROM ordrs", start);
        assert_eq!(drawn, "no such port (line 8, column 6)\n  8 │ FROM ordrs\n    │      ^");
        let drawn = draw("no `x` (line 1, column 8), nor `y` (line 2, column 1)", "SELECT x,\ny", start);
        assert!(
            drawn.starts_with("no `x` (line 7, column 18), nor `y` (line 8, column 1)\n  7 │ SELECT x,\n"),
            "{drawn}"
        );
        assert_eq!((line("a (line 3, column 2)", start), line("it broke", start)), (9, 7));
        // The place in a file is none in the statement.
        assert_eq!(draw("a.csv, line 3: no number", "SELECT 1", start), "a.csv, line 3: no number");
    }

    #[test]
    fn unsafe_characters_are_escaped_above_the_mark() {
        let drawn = draw("no `\u{1b}[1m`\n (line 1, column 3)", "\u{1b}\tx", Position::START);
        assert_eq!(drawn, "no `\\u{1b}[1m`\\n (line 1, column 3)\n  1 │ \\u{1b}\tx\n    │       \t^");
    }

    #[test]
    fn the_mark_stands_under_wide_characters() {
        assert_eq!(draw("line 1, column 4", "表'x y", Position::START), "line 1, column 4\n  1 │ 表'x y\n    │     ^");
    }
}
