//! Finds the valid name that is nearest to an invalid one, for "did you mean" suggestions.

/// The smallest similarity at which a name is suggested.
const CLOSE_ENOUGH: f64 = 0.8;

/// Returns the candidate that is closest to `name`, if one is close enough to be suggested.
///
/// A candidate is close enough if the Jaro-Winkler similarity of the lower-case names is at least 0.8, or if one typing
/// error in a name of three letters or more explains the difference.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|c| (similarity(name, c), c))
        .filter(|(score, _)| *score >= CLOSE_ENOUGH)
        .max_by(|a, b| a.0.total_cmp(&b.0))
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
    let score = strsim::jaro_winkler(&a, &b);
    // Jaro-Winkler scores short names too low: `tsl` for `tls` scores 0.56.
    let one_slip = a.chars().count() >= 3 && strsim::osa_distance(&a, &b) <= 1;
    if one_slip { score.max(0.9) } else { score }
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
}
