//! Patterns of `LIKE`, with the backslash as the escape character.

/// Translates a pattern with another escape character, or with none.
///
/// # Errors
/// A pattern that ends in the escape character.
pub(super) fn translate(pattern: &str, escape: Option<char>) -> Result<String, String> {
    let mut translated = String::with_capacity(pattern.len());
    let mut characters = pattern.chars();
    while let Some(c) = characters.next() {
        match c {
            c if Some(c) == escape => match characters.next() {
                Some(escaped) => translated.extend(['\\', escaped]),
                None => {
                    return Err(format!(
                        "the LIKE pattern `{pattern}` ends in its escape character `{c}`: write it twice to mean itself"
                    ));
                }
            },
            '\\' => translated.push_str("\\\\"),
            c => translated.push(c),
        }
    }
    Ok(translated)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::translate;

    #[test]
    fn escapes_become_backslashes() {
        for (pattern, escape, expected) in [
            ("10!%%", Some('!'), "10\\%%"),
            ("a!!b!_", Some('!'), "a\\!b\\_"),
            ("c:\\%", Some('!'), "c:\\\\%"),
            ("a\\%", Some('\\'), "a\\%"),
            ("a\\%", None, "a\\\\%"),
            ("%%a%_", Some('%'), "\\%a\\_"),
            ("éé%", Some('é'), "\\é%"),
            ("", Some('!'), ""),
        ] {
            assert_eq!(translate(pattern, escape).unwrap(), expected, "{pattern}");
        }
        assert!(translate("a!", Some('!')).unwrap_err().contains("ends in its escape character `!`"));
        translate("a!!", Some('!')).unwrap();
    }
}
