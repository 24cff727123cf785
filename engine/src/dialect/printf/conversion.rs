//! One conversion of a `printf` pattern, such as `%-8.2f`.

/// The largest width and the largest precision, so that a pattern of a few bytes does not print megabytes. The estimate
/// of a call's memory (`functions/estimates/strings.rs`) follows them.
const MOST_WIDTH: usize = 256;
const MOST_PRECISION: usize = 64;
/// The digits of a float without a precision.
const PRECISION: usize = 6;

/// A part of a pattern.
pub(super) enum Part<'a> {
    Text(&'a str),
    Conversion(Conversion<'a>),
}

/// A conversion.
pub(super) struct Conversion<'a> {
    /// The conversion as it is written.
    pub(super) text: &'a str,
    pub(super) kind: Kind,
    capitals: bool,
    left: bool,
    zeros: bool,
    /// The sign of a number that is not negative.
    sign: &'static str,
    width: usize,
    precision: Option<usize>,
}

/// The kind of a conversion.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Text,
    /// An integer.
    Decimal,
    /// An integer that is not negative, and how it is printed.
    Unsigned(fn(u64) -> String),
    /// A number with digits behind the point.
    Fixed,
    /// A number with an exponent.
    Scientific,
    /// A number with an exponent if it is large or small, and without zeros at its end.
    General,
}

/// Returns the parts of a pattern.
///
/// # Errors
/// The first conversion that is not supported.
pub(super) fn parts(pattern: &str) -> Result<Vec<Part<'_>>, String> {
    let mut parts = vec![];
    let mut rest = pattern;
    while let Some(at) = rest.find('%') {
        let (text, from) = rest.split_at(at);
        parts.push(Part::Text(text));
        if let Some(after) = from.strip_prefix("%%") {
            parts.push(Part::Text("%"));
            rest = after;
            continue;
        }
        let (conversion, after) = conversion(from)?;
        parts.push(Part::Conversion(conversion));
        rest = after;
    }
    parts.push(Part::Text(rest));
    Ok(parts)
}

/// Reads the conversion at the start of a text, and returns what follows.
fn conversion(from: &str) -> Result<(Conversion<'_>, &str), String> {
    let inner = &from[1..];
    let Some((end, letter)) = inner.char_indices().find(|(_, c)| c.is_alphabetic() && !"hljzt".contains(*c)) else {
        return Err(format!("the pattern of `printf` ends in `{from}`: write `%%` for the character itself"));
    };
    let (text, after) = from.split_at(1 + end + letter.len_utf8());
    // The type of the value decides about its length.
    let options = inner[..end].trim_end_matches(['h', 'l', 'j', 'z', 't']);
    let is_length = matches!(&inner[options.len()..end], "" | "hh" | "h" | "l" | "ll" | "j" | "z" | "t");
    let unsupported = || {
        format!(
            "`printf` does not support `{text}`: it has `%s`, `%d`, `%i`, `%u`, `%x`, `%o`, `%f`, `%e`, `%g`, with the \
             flags `-`, `0`, `+` and blank, a width and a precision"
        )
    };
    let kind = match letter {
        's' => Kind::Text,
        'd' | 'i' => Kind::Decimal,
        'u' => Kind::Unsigned(|number| number.to_string()),
        'x' => Kind::Unsigned(|number| format!("{number:x}")),
        'X' => Kind::Unsigned(|number| format!("{number:X}")),
        'o' => Kind::Unsigned(|number| format!("{number:o}")),
        'f' | 'F' => Kind::Fixed,
        'e' | 'E' => Kind::Scientific,
        'g' | 'G' => Kind::General,
        _ => return Err(unsupported()),
    };
    if !is_length {
        return Err(unsupported());
    }
    let size = options.trim_start_matches(['-', '0', '+', ' ']);
    let flags = &options[..options.len() - size.len()];
    let (width, precision) = match size.split_once('.') {
        Some((width, precision)) => (width, Some(precision)),
        None => (size, None),
    };
    let number = |digits: &str, most: usize| match digits {
        "" => Ok(0),
        digits if !digits.bytes().all(|b| b.is_ascii_digit()) => Err(unsupported()),
        digits => match digits.parse::<usize>() {
            Ok(number) if number <= most => Ok(number),
            _ => Err(format!("`{text}` of `printf` is too wide: expected at most {most}, got {digits}")),
        },
    };
    let sign = if flags.contains('+') {
        "+"
    } else if flags.contains(' ') {
        " "
    } else {
        ""
    };
    let conversion = Conversion {
        text,
        kind,
        capitals: letter.is_uppercase(),
        left: flags.contains('-'),
        zeros: flags.contains('0'),
        sign,
        width: number(width, MOST_WIDTH)?,
        precision: precision.map(|precision| number(precision, MOST_PRECISION)).transpose()?,
    };
    Ok((conversion, after))
}

impl Conversion<'_> {
    /// Writes a text, cut after as many characters as the precision.
    pub(super) fn text(&self, text: &str, out: &mut String) {
        let cut = match self.precision.and_then(|precision| text.char_indices().nth(precision)) {
            Some((end, _)) => &text[..end],
            None => text,
        };
        self.padded("", cut, false, out);
    }

    /// Writes an integer with at least as many digits as the precision.
    pub(super) fn integer(&self, is_negative: bool, digits: &str, out: &mut String) {
        let sign = match (is_negative, self.kind) {
            (true, _) => "-",
            // C has a sign for numbers that can be negative only.
            (false, Kind::Unsigned(_)) => "",
            (false, _) => self.sign,
        };
        let zeros = "0".repeat(self.precision.unwrap_or_default().saturating_sub(digits.len()));
        self.padded(sign, &format!("{zeros}{digits}"), self.precision.is_none(), out);
    }

    /// Writes a float.
    pub(super) fn float(&self, number: f64, out: &mut String) {
        let precision = self.precision.unwrap_or(PRECISION);
        let sign = if number.is_sign_negative() && !number.is_nan() { "-" } else { self.sign };
        let size = number.abs();
        let mut digits = match self.kind {
            _ if number.is_nan() => "nan".to_owned(),
            _ if number.is_infinite() => "inf".to_owned(),
            Kind::Scientific => with_exponent(&format!("{size:.precision$e}")),
            Kind::General => general(size, precision.max(1)),
            _ => format!("{size:.precision$}"),
        };
        if self.capitals {
            digits.make_ascii_uppercase();
        }
        self.padded(sign, &digits, number.is_finite(), out);
    }

    fn padded(&self, sign: &str, text: &str, may_have_zeros: bool, out: &mut String) {
        let missing = self.width.saturating_sub(sign.len() + text.chars().count());
        if self.left {
            out.extend([sign, text]);
            out.extend(std::iter::repeat_n(' ', missing));
        } else if self.zeros && may_have_zeros {
            out.push_str(sign);
            out.extend(std::iter::repeat_n('0', missing));
            out.push_str(text);
        } else {
            out.extend(std::iter::repeat_n(' ', missing));
            out.extend([sign, text]);
        }
    }
}

/// Writes a number with so many significant digits, in the shorter of the two forms, as C does.
fn general(size: f64, digits: usize) -> String {
    let scientific = format!("{size:.places$e}", places = digits - 1);
    let exponent =
        scientific.split_once('e').and_then(|(_, exponent)| exponent.parse::<i32>().ok()).unwrap_or_default();
    let places = i64::try_from(digits).unwrap_or(i64::MAX) - 1 - i64::from(exponent);
    match usize::try_from(places) {
        Ok(places) if exponent >= -4 => without_zeros(&format!("{size:.places$}")).to_owned(),
        _ => match scientific.split_once('e') {
            Some((number, exponent)) => with_exponent(&format!("{}e{exponent}", without_zeros(number))),
            None => scientific,
        },
    }
}

/// Returns a number without the zeros at the end of its fraction.
fn without_zeros(number: &str) -> &str {
    if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number }
}

/// Writes an exponent as C does, with a sign and at least two digits: `1.5e3` becomes `1.5e+03`.
fn with_exponent(number: &str) -> String {
    let Some((digits, exponent)) = number.split_once('e') else { return number.to_owned() };
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    format!("{digits}e{sign}{exponent:0>2}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    fn only(pattern: &str) -> Conversion<'_> {
        let parts = parts(pattern).unwrap();
        let conversion = parts.into_iter().find_map(|part| match part {
            Part::Conversion(conversion) => Some(conversion),
            Part::Text(_) => None,
        });
        conversion.unwrap()
    }

    /// The expected values are those of C's printf.
    #[test]
    fn numbers_and_texts_are_printed_as_in_c() {
        for (pattern, number, expected) in [
            ("%d", 42, "42"),
            ("%5d", -42, "  -42"),
            ("%-5d", 42, "42   "),
            ("%05d", -42, "-0042"),
            ("%+d", 42, "+42"),
            ("% d", 42, " 42"),
            ("%.4d", 42, "0042"),
            ("%08.4d", 42, "    0042"),
            ("%lld", 7, "7"),
        ] {
            let mut out = String::new();
            only(pattern).integer(number < 0, &i64::abs(number).to_string(), &mut out);
            assert_eq!(out, expected, "{pattern}");
        }
        for (pattern, number, expected) in [
            ("%f", 1.5, "1.500000"),
            ("%.2f", 2.675, "2.67"),
            ("%.2f", 0.125, "0.12"),
            ("%.0f", 2.5, "2"),
            ("%.1f", -0.04, "-0.0"),
            ("%08.2f", -7.456, "-0007.46"),
            ("%+8.2f", 7.456, "   +7.46"),
            ("%e", 12_345.678, "1.234568e+04"),
            ("%.1E", 0.00012, "1.2E-04"),
            ("%.0e", 1e100, "1e+100"),
            ("%f", f64::INFINITY, "inf"),
            ("%05f", f64::NEG_INFINITY, " -inf"),
            ("%F", f64::NAN, "NAN"),
            ("%.2f", 1e15, "1000000000000000.00"),
            ("%g", 0.0, "0"),
            ("%g", 1.5, "1.5"),
            ("%g", 100_000.0, "100000"),
            ("%g", 1_000_000.0, "1e+06"),
            ("%g", 999_999.5, "1e+06"),
            ("%g", 0.0001, "0.0001"),
            ("%g", 0.000_01, "1e-05"),
            ("%g", 123_456_789.0, "1.23457e+08"),
            ("%.3g", 1234.5, "1.23e+03"),
            ("%.3g", 2.345_67, "2.35"),
            ("%.0g", 15.0, "2e+01"),
            ("%010g", -1.5, "-0000001.5"),
            ("%-8g", 2.5, "2.5     "),
            ("%+g", 3.0, "+3"),
            ("%G", 1e20, "1E+20"),
            ("%g", f64::INFINITY, "inf"),
        ] {
            let mut out = String::new();
            only(pattern).float(number, &mut out);
            assert_eq!(out, expected, "{pattern} of {number}");
        }
        for (pattern, text, expected) in
            [("%s", "ab", "ab"), ("%5s", "é", "    é"), ("%-4s", "ab", "ab  "), ("%.1s", "éa", "é"), ("%.9s", "a", "a")]
        {
            let mut out = String::new();
            only(pattern).text(text, &mut out);
            assert_eq!(out, expected, "{pattern}");
        }
    }

    #[test]
    fn other_conversions_are_refused() {
        for (pattern, says) in [
            ("%a", "`%a`"),
            ("%c", "`%c`"),
            ("%#x", "`%#x`"),
            ("%*d", "`%*d`"),
            ("%1$s", "`%1$s`"),
            ("100%", "ends in `%`"),
            ("50% the price", "`% the`"),
            ("%lhd", "`%lhd`"),
            ("%257d", "at most 256"),
            ("%.65f", "at most 64"),
            ("%99999999999999999999d", "at most 256"),
        ] {
            let error = parts(pattern).map(|_| ()).unwrap_err();
            assert!(error.contains(says), "{pattern}: {error}");
        }
    }
}
