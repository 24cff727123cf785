//! The nearest valid name to one that is not: for "did you mean".

/// The least similarity at which a name may be meant.
const CLOSE_ENOUGH: f64 = 0.8;

/// The candidate closest to `name`, if any is close enough to be meant.
///
/// Closeness is Jaro-Winkler similarity on lower-cased text (at least 0.8), or a single slip of the keyboard
/// in a name of three letters or more.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|c| (similarity(name, c), c))
        .filter(|(score, _)| *score >= CLOSE_ENOUGH)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, c)| c)
}

/// Characters of a name that are compared.
const LONGEST: usize = 200;

/// How alike two names are, whatever their case: from 0 to 1, and at least 0.8 where one may be meant by the other.
pub fn similarity(a: &str, b: &str) -> f64 {
    // Comparing takes the product of the lengths, and a name may be whatever somebody sent.
    let start = |name: &str| name.chars().take(LONGEST).collect::<String>().to_lowercase();
    let (a, b) = (start(a), start(b));
    let score = strsim::jaro_winkler(&a, &b);
    // Jaro-Winkler is hard on short names: `tsl` for `tls` scores 0.56.
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
