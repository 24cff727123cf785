//! The bounds of a record. Longer strings are cut, and a record counts the items that it leaves out.
//!
//! - A name (principal, node, port, column, rule, key set) has at most [`MAX_NAME`] bytes.
//! - Another string (purpose, ids, digest, policy version, reason, detail) has at most [`MAX_TEXT`] bytes.
//! - A record has at most [`MAX_NODES`], [`MAX_PORTS`], [`MAX_COLUMNS`], [`MAX_KEYS`] and [`MAX_RULES`] items.
//!
//! A string that was cut ends with `…`. Control characters become `�`, so that a record is safe to show.

use crate::entry::{KeySet, Omitted, PortRead, Refusal, Request};

/// The bound on the bytes of a name.
pub(crate) const MAX_NAME: usize = 256;
/// The bound on the bytes of other strings.
pub(crate) const MAX_TEXT: usize = 512;
/// The bound on the nodes on the way.
const MAX_NODES: usize = 16;
/// The bound on the ports.
const MAX_PORTS: usize = 64;
/// The bound on the columns of all ports together.
const MAX_COLUMNS: usize = 512;
/// The bound on the key sets.
const MAX_KEYS: usize = 64;
/// The bound on the rules that decided.
const MAX_RULES: usize = 32;

/// Brings a request within the bounds of a record.
pub(crate) fn bound(request: &mut Request) {
    let Request { principal, action: _, via, purpose, query, fragment, ports, keys, decision, omitted } = request;
    cut(principal, MAX_NAME);
    cut(query, MAX_TEXT);
    cut(&mut decision.version, MAX_TEXT);
    for text in purpose.iter_mut().chain(fragment) {
        cut(text, MAX_TEXT);
    }
    omitted.nodes += shorten(via, MAX_NODES);
    omitted.keys += shorten(keys, MAX_KEYS);
    omitted.rules += shorten(&mut decision.rules, MAX_RULES);
    omitted.ports += shorten(ports, MAX_PORTS);
    for name in via.iter_mut().chain(&mut decision.rules) {
        cut(name, MAX_NAME);
    }
    for KeySet { column, form, digest, .. } in keys {
        cut(column, MAX_NAME);
        cut(form, MAX_NAME);
        cut(digest, MAX_TEXT);
    }
    bound_columns(ports, omitted);
}

/// Brings a refusal within the bounds of a record.
pub(crate) fn bound_refusal(refusal: &mut Refusal) {
    bound(&mut refusal.request);
    cut(&mut refusal.reason, MAX_TEXT);
    cut(&mut refusal.detail, MAX_TEXT);
}

fn bound_columns(ports: &mut [PortRead], omitted: &mut Omitted) {
    let mut left = MAX_COLUMNS;
    for PortRead { port, columns } in ports {
        cut(port, MAX_NAME);
        omitted.columns += shorten(columns, left);
        left -= columns.len();
        for column in columns {
            cut(column, MAX_NAME);
        }
    }
}

/// Shortens a list, and returns the number of items that it lost.
fn shorten<T>(items: &mut Vec<T>, bound: usize) -> u64 {
    let lost = items.len().saturating_sub(bound);
    items.truncate(bound);
    lost as u64
}

/// Cuts a string to this number of bytes, and replaces control characters.
pub(crate) fn cut(text: &mut String, bound: usize) {
    // Most strings are short names, and stay as they are.
    if text.len() <= bound && !text.chars().any(char::is_control) {
        return;
    }
    let shown = text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c });
    let mut kept = String::with_capacity(bound);
    for c in shown {
        if kept.len() + c.len_utf8() > bound {
            while kept.len() + '…'.len_utf8() > bound {
                kept.pop();
            }
            kept.push('…');
            break;
        }
        kept.push(c);
    }
    *text = kept;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::entry::{Action, Decision, Verdict};
    use crate::line::{MAX_LINE, body};

    #[test]
    fn long_strings_are_cut_between_characters() {
        let cases = [
            ("abc", "abc"),
            ("abcdefgh", "abcdefgh"),
            ("abcdefghi", "abcde…"),
            ("ääää", "ääää"),
            ("äääää", "ää…"),
            ("a\nb", "a\u{fffd}b"),
        ];
        for (text, expected) in cases {
            let mut text = text.to_owned();
            cut(&mut text, 8);
            assert_eq!(text, expected);
        }
    }

    /// Each character takes two bytes in JSON.
    #[test]
    fn the_largest_record_fits_in_a_line() {
        let long = "\"".repeat(1000);
        let port = PortRead { port: long.clone(), columns: vec![long.clone(); 20] };
        let key = KeySet { column: long.clone(), count: u64::MAX, form: long.clone(), digest: long.clone() };
        let request = Request {
            principal: long.clone(),
            action: Action::Insert,
            via: vec![long.clone(); 100],
            purpose: Some(long.clone()),
            query: long.clone(),
            fragment: Some(long.clone()),
            ports: vec![port; 100],
            keys: vec![key; 100],
            decision: Decision { verdict: Verdict::Permit, rules: vec![long.clone(); 100], version: long.clone() },
            omitted: Omitted::default(),
        };
        let mut refusal = Refusal { request, reason: long.clone(), detail: long };
        bound_refusal(&mut refusal);
        let omitted = Omitted { nodes: 84, ports: 36, columns: 64 * 20 - 512, keys: 36, rules: 68 };
        assert_eq!(refusal.request.omitted, omitted);
        let body = body(&crate::Entry::Refused(refusal)).unwrap();
        // The other fields of a line take less than 512 bytes.
        assert!(body.len() + 512 <= MAX_LINE, "{}", body.len());
    }
}
