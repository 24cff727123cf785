//! The patterns of dates, times and timestamps: translates the notation of ODCS, which is that of JDK's
//! `DateTimeFormatter`, into that of the `time` crate.

use crate::text_format::TimePattern;

/// The pattern letters of a date, of a time of day, and of an offset from UTC.
const DATE: &str = "yMd";
const TIME: &str = "HhmsSa";
const OFFSET: &str = "X";

/// Returns the pattern of a column of this logical type: `date`, `timestamp` or `time`.
///
/// # Errors
/// A letter that is not supported, or a pattern that has too little or too much for the type.
pub(super) fn time_pattern(logical_type: &str, text: &str) -> Result<TimePattern, String> {
    let mut description = String::new();
    let mut letters = String::new();
    // True after a number of one or two digits.
    let mut is_open = false;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\'' => {
                description.push_str(&quoted(&mut rest)?);
                is_open = false;
            }
            c if c.is_ascii_alphabetic() => {
                let mut count = 1;
                while rest.next_if_eq(&c).is_some() {
                    count += 1;
                }
                let (letter, item) = component(c, count)?;
                if letters.contains(letter) {
                    return Err(format!("the pattern `{text}` has `{c}` twice"));
                }
                let is_text = matches!(letter, 'a' | 'X') || (letter == 'M' && count > 2);
                let is_number = !is_text;
                if is_open && is_number {
                    return Err(format!(
                        "`{c}` in the pattern `{text}` follows a number of one or two digits: write each with two letters, \
                         or put a character between them"
                    ));
                }
                is_open = is_number && count == 1 && letter != 'S';
                letters.push(letter);
                description.push_str(&item);
            }
            '[' | ']' | '{' | '}' | '#' | '\\' => {
                return Err(format!("`{c}` in a pattern is not supported: write one pattern without optional parts"));
            }
            literal => {
                description.push(literal);
                is_open = false;
            }
        }
    }
    check(logical_type, text, &letters)?;
    Ok(TimePattern { text: text.to_owned(), description, has_time: letters.contains(['H', 'h']) })
}

/// Returns the text after an opening quote, up to the closing one.
fn quoted(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<String, String> {
    if rest.next_if_eq(&'\'').is_some() {
        return Ok("'".to_owned());
    }
    let mut text = String::new();
    loop {
        match rest.next() {
            Some('\'') if rest.next_if_eq(&'\'').is_some() => text.push('\''),
            Some('\'') => return Ok(text),
            Some(c @ ('[' | ']' | '\\')) => return Err(format!("`{c}` in a pattern is not supported")),
            Some(c) => text.push(c),
            None => return Err("a quote in the pattern is not closed".to_owned()),
        }
    }
}

/// Returns the letter that stands for the kind of a component, and its description.
fn component(letter: char, count: usize) -> Result<(char, String), String> {
    let padded = |name: &str| match count {
        1 => Some(format!("[{name} padding:none]")),
        2 => Some(format!("[{name}]")),
        _ => None,
    };
    let offset = |item: &str| Some(format!("[first [Z] [{item}]]"));
    let (kind, item) = match letter {
        'y' | 'u' => (
            'y',
            match count {
                4 => Some("[year]".to_owned()),
                2 => Some("[year repr:last_two]".to_owned()),
                _ => None,
            },
        ),
        'M' | 'L' => (
            'M',
            match count {
                3 => Some("[month repr:short case_sensitive:false]".to_owned()),
                4 => Some("[month repr:long case_sensitive:false]".to_owned()),
                _ => padded("month"),
            },
        ),
        'd' => ('d', padded("day")),
        'H' => ('H', padded("hour")),
        'h' => ('h', padded("hour repr:12")),
        'm' => ('m', padded("minute")),
        's' => ('s', padded("second")),
        'S' => ('S', (count <= 9).then(|| format!("[subsecond digits:{count}]"))),
        'a' => ('a', (count == 1).then(|| "[period case_sensitive:false]".to_owned())),
        'X' => (
            'X',
            match count {
                1 => offset("[offset_hour sign:mandatory]"),
                2 => offset("[offset_hour sign:mandatory][offset_minute]"),
                3 => offset("[offset_hour sign:mandatory]:[offset_minute]"),
                _ => None,
            },
        ),
        'x' | 'Z' => (
            'X',
            match (letter, count) {
                ('x', 1) => Some("[offset_hour sign:mandatory]".to_owned()),
                ('x', 2) | ('Z', 1..=3) => Some("[offset_hour sign:mandatory][offset_minute]".to_owned()),
                ('x', 3) => Some("[offset_hour sign:mandatory]:[offset_minute]".to_owned()),
                _ => None,
            },
        ),
        'Y' => return Err("`Y` in a pattern is the year of the week: write `yyyy`".to_owned()),
        'D' => return Err("`D` in a pattern is the day of the year: write `dd`".to_owned()),
        _ => {
            return Err(format!(
                "`{letter}` in a pattern is not supported: put text that stands for itself between single quotes, \
                 such as `'T'`"
            ));
        }
    };
    let item = item.ok_or_else(|| {
        let run: String = std::iter::repeat_n(letter, count).collect();
        format!("`{run}` in a pattern is not supported; examples: `yyyy-MM-dd`, `dd.MM.yyyy HH:mm:ss.SSS`, `d MMM yy`")
    })?;
    Ok((kind, item))
}

/// Checks that a pattern has all parts of the type, and no others. `letters` has one letter for each component.
fn check(logical_type: &str, text: &str, letters: &str) -> Result<(), String> {
    let has = |letter: char| letters.contains(letter);
    let wrong = |why: &str| Err(format!("the pattern `{text}` {why}"));
    let foreign = |kinds: &str| letters.chars().any(|letter| kinds.contains(letter));
    if logical_type == "time" {
        if foreign(DATE) || foreign(OFFSET) {
            return wrong("has more than a time of day: declare the column as `timestamp`");
        }
    } else if !DATE.chars().all(has) {
        return wrong("does not have a year, a month and a day");
    }
    if logical_type == "date" && (foreign(TIME) || foreign(OFFSET)) {
        return wrong("has more than a date: declare the column as `timestamp`");
    }
    if has('h') != has('a') || (has('H') && has('h')) {
        return wrong("needs `H`, or both `h` and `a`");
    }
    let has_hour = has('H') || has('h');
    let lacks = (has('S') && !has('s')) || (has('s') && !has('m')) || (has('m') && !has_hour);
    if lacks || ((logical_type == "time" || has('X')) && !has_hour) {
        return wrong("has no complete time of day: hours come before minutes, and minutes before seconds");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn patterns_are_translated() {
        for (logical_type, text, description) in [
            ("date", "dd.MM.yyyy", "[day].[month].[year]"),
            ("date", "d.M.yy", "[day padding:none].[month padding:none].[year repr:last_two]"),
            ("date", "yyyyMMdd", "[year][month][day]"),
            ("date", "yyyyMMd", "[year][month][day padding:none]"),
            ("date", "dMMMyyyy", "[day padding:none][month repr:short case_sensitive:false][year]"),
            ("date", "d MMM uuuu", "[day padding:none] [month repr:short case_sensitive:false] [year]"),
            (
                "timestamp",
                "yyyy-MM-dd'T'HH:mm:ss.SSSX",
                "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3][first [Z] [[offset_hour sign:mandatory]]]",
            ),
            (
                "timestamp",
                "M/d/yyyy h:mm a",
                "[month padding:none]/[day padding:none]/[year] [hour repr:12 padding:none]:[minute] [period case_sensitive:false]",
            ),
            ("timestamp", "yyyy-MM-dd", "[year]-[month]-[day]"),
            ("time", "HH'h'mm", "[hour]h[minute]"),
            ("time", "HH''mm", "[hour]'[minute]"),
        ] {
            assert_eq!(time_pattern(logical_type, text).unwrap().description, description, "{text}");
        }
        assert!(!time_pattern("timestamp", "yyyy-MM-dd").unwrap().has_time);
        assert!(time_pattern("timestamp", "yyyy-MM-dd hh:mm a").unwrap().has_time);
    }

    #[test]
    fn a_pattern_that_is_not_supported_is_refused_with_the_reason() {
        for (logical_type, text, why) in [
            ("date", "YYYY-MM-dd", "write `yyyy`"),
            ("date", "yyyy-MM-DD", "write `dd`"),
            ("date", "yyy-MM-dd", "`yyy` in a pattern is not supported"),
            ("date", "MM.yyyy", "a year, a month and a day"),
            ("date", "dd.MM.yyyy HH:mm", "declare the column as `timestamp`"),
            ("date", "dd.dd.yyyy", "has `d` twice"),
            // `2024111` would be both 1 November and 11 January.
            ("date", "yyyyMd", "`d` in the pattern `yyyyMd` follows a number of one or two digits"),
            ("timestamp", "yyyy-MM-dd Hmm", "`m` in the pattern"),
            ("timestamp", "yyyy-MM-ddTHH:mm", "such as `'T'`"),
            ("timestamp", "yyyy-MM-dd'THH:mm", "is not closed"),
            ("timestamp", "yyyy-MM-dd[ HH:mm]", "without optional parts"),
            ("timestamp", "yyyy-MM-dd hh:mm", "both `h` and `a`"),
            ("timestamp", "yyyy-MM-dd HH:ss", "no complete time of day"),
            ("timestamp", "yyyy-MM-dd HH:mm z", "`z` in a pattern is not supported"),
            ("time", "mm:ss", "no complete time of day"),
            ("time", "yyyy HH:mm", "declare the column as `timestamp`"),
            ("date", "", "a year, a month and a day"),
        ] {
            let refused = time_pattern(logical_type, text).unwrap_err();
            assert!(refused.contains(why), "{text}: {refused}");
        }
    }
}
