//! Splits a JSON array of objects into its elements, so that a reader of JSON lines can read them.

use std::ops::Range;

/// Splits one array. The text arrives in pieces.
#[derive(Debug, Default)]
pub(in crate::files) struct Elements {
    at: At,
    /// What is open within the element.
    nesting: Nesting,
}

/// The objects, lists and strings that are open in JSON, which arrives byte by byte.
#[derive(Debug, Default)]
pub(in crate::files) struct Nesting {
    /// The number of open objects and lists.
    depth: usize,
    is_in_string: bool,
    is_escaped: bool,
}

/// The position of the next byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// Before the array.
    #[default]
    Outside,
    /// Before an element, or the end of the array.
    BeforeElement,
    /// Within an element.
    Element,
    /// Before a comma, or the end of the array.
    AfterElement,
    /// After the array.
    End,
}

/// The next part of a piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::files) struct Part {
    /// The bytes that belong to an element. Empty if there are none.
    pub(in crate::files) element: Range<usize>,
    /// True if the element ends there.
    pub(in crate::files) is_complete: bool,
}

impl Elements {
    /// True if a text is an array: its first character is a bracket. `None` if it has only white space.
    pub(in crate::files) fn is_array(text: &[u8]) -> Option<bool> {
        text.iter().find(|byte| !byte.is_ascii_whitespace()).map(|byte| *byte == b'[')
    }

    /// Returns the next part of a piece. The caller continues after its element.
    ///
    /// # Errors
    /// The position of a character that cannot be there, and the expected one.
    pub(in crate::files) fn next(&mut self, text: &[u8]) -> Result<Part, (usize, &'static str)> {
        let mut start = 0;
        while self.at != At::Element {
            let Some(byte) = text.get(start) else { return Ok(Part { element: start..start, is_complete: false }) };
            self.at = match (self.at, byte) {
                (at, byte) if byte.is_ascii_whitespace() => at,
                (At::Outside, b'[') => At::BeforeElement,
                (At::BeforeElement | At::AfterElement, b']') => At::End,
                (At::AfterElement, b',') => At::BeforeElement,
                (At::BeforeElement, b'{') => At::Element,
                (At::BeforeElement, _) => return Err((start, "an object")),
                (At::AfterElement, _) => return Err((start, "`,` or `]` after an object")),
                (At::Outside, _) => return Err((start, "`[`")),
                (At::End, _) | (At::Element, _) => return Err((start, "the end of the file after the array")),
            };
            // The bracket of an object is a part of it.
            if self.at != At::Element {
                start += 1;
            }
        }
        for (i, byte) in text.iter().enumerate().skip(start) {
            if self.nesting.read(*byte) {
                self.at = At::AfterElement;
                return Ok(Part { element: start..i + 1, is_complete: true });
            }
        }
        Ok(Part { element: start..text.len(), is_complete: false })
    }

    /// True if the array has ended.
    pub(in crate::files) fn is_complete(&self) -> bool {
        self.at == At::End
    }
}

impl Nesting {
    /// Reads a byte. Returns true if the byte closes the outermost object or list.
    pub(in crate::files) fn read(&mut self, byte: u8) -> bool {
        match byte {
            _ if self.is_escaped => self.is_escaped = false,
            b'\\' if self.is_in_string => self.is_escaped = true,
            b'"' => self.is_in_string = !self.is_in_string,
            _ if self.is_in_string => {}
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                return self.depth == 0;
            }
            _ => {}
        }
        false
    }

    /// True within an object or a list, and outside of a string.
    pub(in crate::files) fn is_between_values(&self) -> bool {
        self.depth > 0 && !self.is_in_string
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// Returns the elements of a text that arrives in pieces of `size` bytes, and whether the array ends.
    fn split(text: &str, size: usize) -> Result<(Vec<String>, bool), &'static str> {
        let (mut elements, mut found, mut current) = (Elements::default(), vec![], vec![]);
        for mut piece in text.as_bytes().chunks(size) {
            while !piece.is_empty() {
                let part = elements.next(piece).map_err(|(_, expected)| expected)?;
                current.extend_from_slice(&piece[part.element.clone()]);
                if part.is_complete {
                    found.push(String::from_utf8(std::mem::take(&mut current)).unwrap());
                }
                piece = &piece[part.element.end..];
            }
        }
        Ok((found, elements.is_complete()))
    }

    #[test]
    fn elements_are_the_objects_of_the_array() {
        let text = "\n [{\"a\":\"]},\\\"\"},\n  {\"b\":[{}, 1]} , {}\n]\n";
        for size in [1, 2, 3, 7, 1000] {
            let (found, is_complete) = split(text, size).unwrap();
            assert_eq!(found, ["{\"a\":\"]},\\\"\"}", "{\"b\":[{}, 1]}", "{}"], "{size}");
            assert!(is_complete);
        }
        assert_eq!(split("[]", 1), Ok((vec![], true)));
        assert_eq!(split("[{},]", 9), Ok((vec!["{}".to_owned()], true)));
        assert_eq!(split("[{}", 9), Ok((vec!["{}".to_owned()], false)));
    }

    #[test]
    fn other_text_is_refused() {
        for (text, expected) in [
            ("{}", "`[`"),
            ("[1]", "an object"),
            ("[[]]", "an object"),
            ("[{} {}]", "`,` or `]` after an object"),
            ("[{}] {}", "the end of the file after the array"),
        ] {
            assert_eq!(split(text, 1000), Err(expected), "{text}");
        }
    }

    #[test]
    fn the_first_character_shows_an_array() {
        assert_eq!(Elements::is_array(b" \n["), Some(true));
        assert_eq!(Elements::is_array(b"{"), Some(false));
        assert_eq!(Elements::is_array(b" \n"), None);
    }
}
