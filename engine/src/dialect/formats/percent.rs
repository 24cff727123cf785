//! Patterns whose fields begin with `%`.

/// The fields that chrono knows.
const KNOWN: &str = "ABCDFGHIMPRSTUVWXYZabcdefghjklmnpqrstuvwxyz+%";
/// The fields that are one number, which a modifier pads.
const NUMBERS: &str = "CGHIMSUVWYdefgjklmqsuwy";

/// A part of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece<'a> {
    /// The part as it is written.
    text: &'a str,
    /// The modifier and the letter of a field; `None` for other text.
    field: Option<(&'a str, char)>,
}

/// Returns the parts of a pattern.
///
/// # Errors
/// The first field that chrono does not know.
fn pieces(pattern: &str) -> Result<Vec<Piece<'_>>, String> {
    let mut pieces = vec![];
    let mut rest = pattern;
    while let Some(at) = rest.find('%') {
        let (text, field) = rest.split_at(at);
        if !text.is_empty() {
            pieces.push(Piece { text, field: None });
        }
        let inner = &field[1..];
        let Some((end, letter)) =
            inner.char_indices().find(|(_, c)| c.is_alphabetic() || c.is_whitespace() || matches!(c, '%' | '+'))
        else {
            return Err(format!("it ends in `{field}`: write `%%` for the character itself"));
        };
        let (text, after) = field.split_at(1 + end + letter.len_utf8());
        let modifier = &inner[..end];
        let is_known = KNOWN.contains(letter)
            && match modifier {
                "" => true,
                "-" | "0" | "_" => NUMBERS.contains(letter),
                "." | ".3" | ".6" | ".9" | "3" | "6" | "9" => letter == 'f',
                ":" | "::" | ":::" => letter == 'z',
                _ => false,
            };
        if !is_known {
            return Err(unknown(text));
        }
        pieces.push(Piece { text, field: Some((modifier, letter)) });
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece { text: rest, field: None });
    }
    Ok(pieces)
}

fn unknown(field: &str) -> String {
    format!("`{field}` is no field of this function: the page on functions of the book lists the fields")
}

/// Checks a pattern of chrono.
pub(super) fn checked(pattern: &str) -> Result<String, String> {
    pieces(pattern).map(|_| pattern.to_owned())
}

/// Checks a pattern of chrono to read a string. DataFusion 55.2 reads a time that its zone does not have, or has twice, as
/// one in UTC.
pub(super) fn read(pattern: &str) -> Result<String, String> {
    match pieces(pattern)?.iter().any(|piece| piece.field.is_some_and(|(_, letter)| letter == 'Z')) {
        true => Err("names of time zones (`%Z`) are not read: write their offsets, and `%z` for them".to_owned()),
        false => Ok(pattern.to_owned()),
    }
}

/// Translates the pattern of `strftime`.
pub(super) fn strftime(pattern: &str) -> Result<String, String> {
    fields_of("to_char", pattern)?;
    let mut translated = String::new();
    for Piece { text, field } in pieces(pattern)? {
        translated.push_str(match field {
            None => text,
            Some(("", 'f')) => "%6f",
            Some(("", 'g')) => "%3f",
            Some(("", 'n')) => "%9f",
            Some(("", letter)) => duckdb(letter).unwrap_or(text),
            Some(_) => text,
        });
        if let Some((modifier, letter)) = field
            && !is_of_duckdb(modifier, letter, "aAwuGUWV")
        {
            return Err(unknown(text));
        }
    }
    Ok(translated)
}

/// Translates the pattern of `strptime`.
pub(super) fn strptime(pattern: &str) -> Result<String, String> {
    fields_of("to_timestamp", pattern)?;
    let mut translated = String::new();
    for Piece { text, field } in pieces(pattern)? {
        match field {
            // DuckDB and PostgreSQL disagree about the century of 69.
            Some((_, 'y')) => {
                return Err(
                    "a year of two digits has no certain century: use to_date with `YY`, where 69 is 2069".into()
                );
            }
            Some((modifier, letter)) if !is_of_duckdb(modifier, letter, "aA") => return Err(unknown(text)),
            Some(("", 'f' | 'g' | 'n')) => push_fraction(&mut translated)?,
            Some(("", letter)) => translated.push_str(duckdb(letter).unwrap_or(text)),
            _ => translated.push_str(text),
        }
    }
    Ok(translated)
}

/// Writes the fraction of a second, with any number of digits. The point before it belongs to the field.
///
/// # Errors
/// If there is no point.
pub(super) fn push_fraction(translated: &mut String) -> Result<(), String> {
    match translated.pop() {
        Some('.') => {
            translated.push_str("%.f");
            Ok(())
        }
        _ => Err("expected a decimal point before the fraction of a second".to_owned()),
    }
}

/// Translates the pattern of `date_format`: MySQL has the function, and gives most letters another meaning.
pub(super) fn date_format(pattern: &str) -> Result<String, String> {
    fields_of("to_char", pattern)?;
    for Piece { text, field } in pieces(pattern)? {
        if !field.is_none_or(|(modifier, letter)| modifier.is_empty() && "YymdHIpSTjab%".contains(letter)) {
            return Err(format!("`{text}` has another meaning in MySQL: use strftime or to_char"));
        }
    }
    Ok(pattern.to_owned())
}

/// Refuses a pattern without fields. `other` is the function that reads patterns of SQL.
fn fields_of(other: &str, pattern: &str) -> Result<(), String> {
    match pattern.contains('%') {
        true => Ok(()),
        false => Err(format!("expected fields such as `%Y-%m-%d`; {other} reads `YYYY-MM-DD`")),
    }
}

/// Returns the pattern of a field that DuckDB prints in its own way.
fn duckdb(letter: char) -> Option<&'static str> {
    Some(match letter {
        'c' => "%Y-%m-%d %H:%M:%S",
        'x' => "%Y-%m-%d",
        'X' => "%H:%M:%S",
        _ => return None,
    })
}

/// True if DuckDB has the field. `more` are the letters that only one of its two functions has here.
fn is_of_duckdb(modifier: &str, letter: char, more: &str) -> bool {
    match modifier {
        "" => "bBdfgHIjmMnpScxXyY%".contains(letter) || more.contains(letter),
        "-" => "dmyHIMSj".contains(letter),
        _ => false,
    }
}

/// Refuses a pattern of chrono that cannot determine a date: no string would fit it.
pub(super) fn require_date(pattern: &str) -> Result<(), String> {
    let letters: Vec<char> = pieces(pattern)?.iter().filter_map(|piece| Some(piece.field?.1)).collect();
    let has = |any: &str| letters.iter().any(|letter| any.contains(*letter));
    let has_week = has("UWV") && has("uwaA");
    let is_complete = has("FDxcvs+") || (has("YyGg") && (has_week || has("j") || (has("mbBh") && has("de"))));
    match is_complete {
        true => Ok(()),
        false => Err("a date needs a year, a month and a day".to_owned()),
    }
}

/// Refuses a pattern of chrono that has only a part of the time: DataFusion 55.2 ignores such a part.
pub(super) fn require_time(pattern: &str) -> Result<(), String> {
    let letters: Vec<char> = pieces(pattern)?.iter().filter_map(|piece| Some(piece.field?.1)).collect();
    let has = |any: &str| letters.iter().any(|letter| any.contains(*letter));
    if has("f") && !has("Ssc+TXr") {
        return Err("a fraction of a second needs seconds".to_owned());
    }
    if has("sc+TRXr") || !has("HkIlMSpPf") {
        return Ok(());
    }
    if has("Il") && !has("Hk") && !has("pP") {
        return Err("an hour from 1 to 12 needs AM or PM".to_owned());
    }
    match has("HkIl") && has("M") {
        true => Ok(()),
        false => Err("a time of the day needs hours and minutes".to_owned()),
    }
}
