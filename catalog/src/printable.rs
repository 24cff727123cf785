//! Makes the text of others safe for a terminal, a log and an error message. Data, names, statements and messages of
//! peers pass through this module before a person reads them.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The zero-width joiner. It makes one emoji of several, and hides between all other characters.
const JOINER: char = '\u{200d}';
/// The selector of the coloured form of the emoji before it.
const EMOJI_STYLE: char = '\u{fe0f}';

/// Returns the text in one line, in which these characters are escapes such as `\n` or `\u{202e}`:
///
/// - control characters (C0, DEL and C1), among them line breaks and tabs,
/// - separators of lines and paragraphs, which some viewers show as a line break,
/// - characters that change the direction of text,
/// - invisible characters, except for a joiner within an emoji.
///
/// A text that went through this function comes out unchanged.
pub fn printable(text: &str) -> Cow<'_, str> {
    printable_with(text, |_| false, escape)
}

/// Returns the text as [`printable`] does, but keeps its line breaks (`\n`) and tabs.
pub fn printable_lines(text: &str) -> Cow<'_, str> {
    printable_with(text, |c| matches!(c, '\n' | '\t'), escape)
}

/// Returns the text of JSON with escapes of JSON, such as `\u202e`, so that it stays the same JSON.
pub fn printable_json(text: &str) -> Cow<'_, str> {
    // These characters are between lines, because strings of JSON do not contain them.
    let is_kept = |c: char| matches!(c, '\n' | '\t');
    printable_with(text, is_kept, |c, shown| {
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a string does not fail.
            let _ = write!(shown, "\\u{unit:04x}");
        }
    })
}

/// Returns the text as [`printable`] does, but keeps the characters for which `is_kept` is true, and adds another
/// `escape` in the place of a character.
pub fn printable_with(text: &str, is_kept: impl Fn(char) -> bool, escape: impl Fn(char, &mut String)) -> Cow<'_, str> {
    let is_escaped = |c: char| is_unsafe(c) && !is_kept(c);
    if !text.chars().any(is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    let mut before = None;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let joins = c == JOINER && before.is_some_and(is_emoji) && rest.peek().copied().is_some_and(is_emoji);
        if is_escaped(c) && !joins {
            escape(c, &mut shown)
        } else {
            shown.push(c)
        }
        if c != EMOJI_STYLE {
            before = Some(c);
        }
    }
    Cow::Owned(shown)
}

/// True if a text contains none of the characters that [`printable`] escapes, and no joiner either, so that two names
/// that look the same are the same.
pub fn is_printable(text: &str) -> bool {
    !text.chars().any(is_unsafe)
}

fn escape(c: char, shown: &mut String) {
    shown.extend(c.escape_default());
}

/// True for a character that controls a terminal, starts a line, changes the direction of text, or is invisible.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            // The soft hyphen, marks of direction, and a vowel separator without width.
            '\u{ad}' | '\u{61c}' | '\u{180e}'
            // Spaces and joiners without width, and marks of direction.
            | '\u{200b}'..='\u{200f}'
            // Separators of lines and paragraphs, embeddings and overrides of direction.
            | '\u{2028}'..='\u{202e}'
            // Invisible operators, isolates of direction, and deprecated format characters.
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            // Tags: an invisible copy of ASCII.
            | '\u{e0000}'..='\u{e007f}')
}

/// True for the symbols and pictures that joiners combine, and for their skin tones.
fn is_emoji(c: char) -> bool {
    matches!(c, '\u{2190}'..='\u{21ff}' | '\u{2600}'..='\u{27bf}' | '\u{2b00}'..='\u{2bff}' | '\u{1f000}'..='\u{1faff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_text_stays() {
        for text in [
            "",
            "a b",
            "Größe é e\u{301}",
            "表'x",
            "한국어 עברית العربية ไทย",
            "👩\u{200d}👩\u{200d}👧",
            "❤\u{fe0f}\u{200d}🔥",
            "👩🏽\u{200d}⚕\u{fe0f}",
        ] {
            assert!(matches!(printable(text), Cow::Borrowed(_)) || text.contains(JOINER), "{text}");
            assert_eq!(printable(text), text);
        }
    }

    #[test]
    fn unsafe_characters_are_escaped() {
        for (text, expected) in [
            ("a\nb\r\tc", r"a\nb\r\tc"),
            ("\u{1b}]0;pwned\u{7}", r"\u{1b}]0;pwned\u{7}"),
            ("\u{9b}31m\u{7f}\0", r"\u{9b}31m\u{7f}\u{0}"),
            ("a\u{202e}b\u{2066}c\u{200f}\u{61c}", r"a\u{202e}b\u{2066}c\u{200f}\u{61c}"),
            ("a\u{200b}b\u{2060}c\u{feff}\u{ad}", r"a\u{200b}b\u{2060}c\u{feff}\u{ad}"),
            ("a\u{2028}b\u{e0041}", r"a\u{2028}b\u{e0041}"),
            ("a\u{200d}b 👩\u{200d} \u{200d}👧", r"a\u{200d}b 👩\u{200d} \u{200d}👧"),
            // A backslash stays, so that a second pass changes nothing.
            (r"a\nb", r"a\nb"),
        ] {
            assert_eq!(printable(text), expected);
            assert_eq!(printable(&printable(text)), expected);
            assert_eq!(is_printable(text), text == expected, "{expected}");
        }
        assert!(!is_printable("👩\u{200d}👧"), "a joiner is invisible in a name");
    }

    #[test]
    fn lines_stay_where_they_are_meant() {
        assert_eq!(printable_lines("a\n\tb\r\n\u{1b}[1m"), "a\n\tb\\r\n\\u{1b}[1m");
        assert_eq!(
            printable_with("a\u{9b}", |_| false, |c, shown| shown.push_str(&format!("<{:x}>", c as u32))),
            "a<9b>"
        );
    }
}
