//! Finds the valid name that is nearest to an invalid one, for "did you mean" suggestions.

/// The smallest similarity at which a name is suggested.
const CLOSE_ENOUGH: f64 = 0.8;
/// The shortest name that gets a suggestion, in characters.
const SHORTEST: usize = 3;

/// Returns the candidate that is closest to `name`, if one is close enough to be suggested. The order of the candidates
/// does not matter: of equally close ones, the first in the order of the alphabet is returned.
///
/// A candidate is close enough if one of these holds, ignoring case:
///
/// - At most one third of the characters differ, or one of them in a short name. A swap of two neighbours counts once.
/// - One name starts with the other one.
/// - One name ends with the other one, after an underscore or a dot.
///
/// Only equal names are suggested for a name of fewer than three characters.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|c| (similarity(name, c), c))
        .filter(|(score, _)| *score >= CLOSE_ENOUGH)
        .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(a.1)))
        .map(|(_, c)| c)
}

/// The number of characters of a name that are compared.
const LONGEST: usize = 200;

/// Returns the similarity of two names, ignoring case: from 0 to 1, and at least 0.8 if one is a suggestion for the
/// other.
pub fn similarity(a: &str, b: &str) -> f64 {
    // The time of a comparison grows with the product of the lengths, and a client can send a name of any length.
    let start = |name: &str| name.chars().take(LONGEST).collect::<String>().to_lowercase();
    let (a, b) = (start(a), start(b));
    let (shorter, longer) = if a.len() <= b.len() { (&a, &b) } else { (&b, &a) };
    let (least, most) = (a.chars().count().min(b.chars().count()), a.chars().count().max(b.chars().count()));
    let distance = strsim::osa_distance(&a, &b);
    let is_part = || {
        let before = longer.strip_suffix(shorter.as_str());
        longer.starts_with(shorter.as_str()) || before.is_some_and(|before| before.ends_with(['_', '.']))
    };
    let is_near = distance == 0 || (least >= SHORTEST && (distance <= (most / 3).max(1) || is_part()));
    let equal_share = 1.0 - distance as f64 / most.max(1) as f64;
    if is_near { CLOSE_ENOUGH + (1.0 - CLOSE_ENOUGH) * equal_share } else { CLOSE_ENOUGH * equal_share }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_name_is_found() {
        let names = ["listen", "limits", "tls", "products"];
        assert_eq!(nearest("Limit", names), Some("limits"));
        assert_eq!(nearest("tsl", names), Some("tls"));
        assert_eq!(nearest("product", names), Some("products"));
        assert_eq!(nearest("colour", names), None);
        assert_eq!(nearest("", names), None);
    }

    #[test]
    fn a_part_of_a_name_is_close() {
        let names = ["n_name", "n_regionkey", "capacity", "username"];
        assert_eq!(nearest("regionkey", names), Some("n_regionkey"));
        assert_eq!(nearest("name", names), Some("n_name"));
        assert_eq!(nearest("user", names), Some("username"));
        assert_eq!(nearest("city", names), None, "the end of a word is no part of the name");
    }

    #[test]
    fn what_differs_in_more_than_a_third_is_not_suggested() {
        for (name, other) in [
            ("year", "mean"),
            ("week", "ceil"),
            ("week", "left"),
            ("printf", "asinh"),
            ("strftime", "list_has"),
            ("last_day", "list_has"),
            ("cnt", "count(*)"),
            ("e", "n_name"),
            ("id", "ix"),
        ] {
            assert!(similarity(name, other) < CLOSE_ENOUGH, "{name} and {other}");
            assert_eq!(nearest(name, [other]), None, "{name} and {other}");
        }
        assert_eq!(nearest("ID", ["id"]), Some("id"));
    }

    #[test]
    fn the_order_of_the_candidates_does_not_matter() {
        assert_eq!(nearest("lest", ["left", "lust", "best"]), Some("best"));
        assert_eq!(nearest("lest", ["best", "lust", "left"]), Some("best"));
    }
}
