//! Numbers in text: the separators of the fraction and of thousands that all values of a column have.

/// A way to write numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Notation {
    /// The character before the fraction.
    pub(super) decimal: char,
    /// The character between groups of three digits.
    pub(super) group: Option<char>,
}

/// The known ways, the most likely first.
pub(super) const NOTATIONS: [Notation; 6] = [
    Notation { decimal: '.', group: None },
    Notation { decimal: ',', group: None },
    Notation { decimal: '.', group: Some(',') },
    Notation { decimal: ',', group: Some('.') },
    Notation { decimal: ',', group: Some(' ') },
    Notation { decimal: '.', group: Some('\'') },
];

/// The position of the notation with a point between thousands.
pub(super) const POINTS_BETWEEN_THOUSANDS: usize = 3;

/// The largest number of digits of an integer that a floating-point number holds.
const EXACT_DIGITS: usize = 15;
/// The largest number of digits of a number with a fraction. Programs write floating-point numbers with up to 17 digits
/// and zeros before them.
const MOST_DIGITS: usize = 20;
/// The digits of a decimal type that holds most money.
const DECIMAL_DIGITS: usize = 18;

/// The parts of a number.
struct Parts<'a> {
    /// The number of digits before the fraction.
    whole: usize,
    /// True if the digits before the fraction are a single zero.
    is_zero: bool,
    groups: usize,
    fraction: Option<&'a str>,
    has_exponent: bool,
}

/// The numbers of a column, as far as they were read.
#[derive(Clone, Debug, Default)]
pub(super) struct NumberValues {
    /// The most digits before the fraction.
    whole: usize,
    /// The fewest and the most digits of a fraction. A number without a fraction counts as 0.
    fraction: Option<(usize, usize)>,
    has_exponent: bool,
    /// True if a value can have only this notation.
    pub(super) is_shown: bool,
}

impl NumberValues {
    /// Adds a value. False if it is no number of this notation that a floating-point number holds.
    pub(super) fn add(&mut self, text: &str, notation: Notation) -> bool {
        let Some(parts) = parts(text, notation) else { return false };
        let fraction = parts.fraction.map_or(0, str::len);
        let most = if parts.fraction.is_some() { MOST_DIGITS } else { EXACT_DIGITS };
        if parts.whole + fraction > most {
            return false;
        }
        self.whole = self.whole.max(parts.whole);
        let (least, most) = self.fraction.unwrap_or((fraction, fraction));
        self.fraction = Some((least.min(fraction), most.max(fraction)));
        self.has_exponent |= parts.has_exponent;
        self.is_shown |= match (notation.group, parts.fraction) {
            // `1,234` is a thousand with one notation, and a little more than one with another.
            (None, Some(fraction)) => fraction.len() != 3 || parts.is_zero || parts.whole > 3,
            (Some(','), fraction) | (Some('.'), fraction) => {
                parts.groups > 1 || (parts.groups > 0 && fraction.is_some())
            }
            (Some(_), _) => parts.groups > 0,
            (None, None) => false,
        };
        true
    }

    /// True if the values show that they have this notation. A point without groups needs no evidence.
    pub(super) fn shows(&self, notation: Notation) -> bool {
        self.is_shown || notation == NOTATIONS[0]
    }

    /// Returns the digits of a decimal type, and those of its fraction, if each value has equally many digits in its
    /// fraction, and these are in `range`.
    pub(super) fn decimal(&self, range: std::ops::RangeInclusive<usize>) -> Option<(usize, usize)> {
        let (least, most) = self.fraction?;
        let is_decimal = least == most && range.contains(&most) && !self.has_exponent;
        let precision = DECIMAL_DIGITS.max(self.whole + most);
        is_decimal.then_some((precision, most))
    }
}

fn parts(text: &str, notation: Notation) -> Option<Parts<'_>> {
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (number, exponent) = match text.split_once(['e', 'E']).filter(|_| notation == NOTATIONS[0]) {
        Some((number, exponent)) => (number, Some(exponent)),
        None => (text, None),
    };
    if exponent.is_some_and(|e| e.len() > 4 || !is_digits(e.strip_prefix(['-', '+']).unwrap_or(e))) {
        return None;
    }
    let number = number.strip_prefix('-').unwrap_or(number);
    let (whole, fraction) = match number.split_once(notation.decimal) {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (number, None),
    };
    if fraction.is_some_and(|fraction| !is_digits(fraction)) {
        return None;
    }
    let groups: Vec<&str> = match notation.group {
        Some(group) => whole.split(group).collect(),
        None => vec![whole],
    };
    let (first, others) = groups.split_first()?;
    // A number with a zero before it is a code.
    let is_first = is_digits(first) && (first.len() == 1 || !first.starts_with('0'));
    let are_groups = others.iter().all(|group| group.len() == 3 && is_digits(group));
    let is_grouped = others.is_empty() || first.len() <= 3;
    (is_first && are_groups && is_grouped).then(|| Parts {
        whole: first.len() + 3 * others.len(),
        is_zero: *first == "0",
        groups: others.len(),
        fraction,
        has_exponent: exponent.is_some(),
    })
}

/// True if a text is a number in some notation.
pub(super) fn is_number(text: &str) -> bool {
    NOTATIONS.into_iter().any(|notation| parts(text, notation).is_some())
}
