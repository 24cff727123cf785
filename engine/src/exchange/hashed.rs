//! Joins of hashed columns. Two columns of hashes have equal values only if their masks, secrets and types are equal. A
//! join of others would find no rows, so it is refused before its first row. The hashes of this node's own ports are
//! known when a query is planned. Those of a fragment are known when its rows begin to arrive.

use std::sync::{Arc, Mutex, OnceLock};

use portolan_catalog::PortRef;
use portolan_connectors::lock;
use portolan_governance::Mask;

use crate::{Error, ErrorKind, Result};

/// The identities of the hashes of a fragment's columns, by position, once its site has reported them. `None` for a
/// column that is not hashed, as for all columns beyond the end, and [`COMPUTED`] for one that no check is about.
pub(super) type FragmentHashes = Arc<OnceLock<Vec<Option<String>>>>;

/// The identity of a column in which several hashes, or hashes and plain values, are mixed. It equals no identity.
const MIXED: &str = "mixed";
/// The identity of a column of computed values or constants. Joins of it are not checked, wherever it is computed.
const COMPUTED: &str = "computed";

/// The origin of a column's values.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// A port or table, without a hash.
    Plain,
    /// A hash with this identity.
    Hashed(String),
    /// A column of a fragment, by position.
    Fragment(FragmentHashes, usize),
    /// A value that is computed from several: of a hash, if one of them is a hash.
    Computed(Vec<Self>),
}

impl Source {
    /// True if both are the same origin.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Plain, Self::Plain) => true,
            (Self::Hashed(a), Self::Hashed(b)) => a == b,
            (Self::Fragment(a, i), Self::Fragment(b, j)) => Arc::ptr_eq(a, b) && i == j,
            (Self::Computed(a), Self::Computed(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.is_same(b)),
            _ => false,
        }
    }

    /// Returns the identity of the hash, `None` in it if there is no hash; `None` if it is not known yet, or if the values
    /// are computed.
    fn hash(&self) -> Option<Option<&str>> {
        match self {
            Self::Plain => Some(None),
            Self::Hashed(identity) => Some(Some(identity)),
            Self::Fragment(hashes, index) => {
                let hash = hashes.get()?.get(*index).and_then(Option::as_deref);
                (hash != Some(COMPUTED)).then_some(hash)
            }
            Self::Computed(origins) => {
                let mut hashes = origins.iter().filter_map(Self::hash).flatten();
                match hashes.next() {
                    Some(first) => Some(Some(if hashes.all(|other| other == first) { first } else { MIXED })),
                    // Another value may turn out to be a hash.
                    None => origins.iter().all(|origin| origin.hash().is_some()).then_some(None),
                }
            }
        }
    }
}

/// One side of a comparison, and the origins of its values. It has none if the values are computed.
#[derive(Clone, Debug)]
pub(super) struct KeySide {
    /// The side as SQL names it.
    pub(super) name: String,
    pub(super) sources: Vec<Source>,
}

/// Two expressions that a join compares.
#[derive(Clone, Debug)]
pub(super) struct KeyPair {
    pub(super) left: KeySide,
    pub(super) right: KeySide,
    /// The derived port whose query has the join. Readers of the port see no part of the query.
    pub(super) port: Option<PortRef>,
}

impl KeyPair {
    /// True if a side may be hashed. Other pairs need no check.
    pub(super) fn may_be_hashed(&self) -> bool {
        let both = || self.left.sources.iter().chain(&self.right.sources);
        let is_traced = !self.left.sources.is_empty() && !self.right.sources.is_empty();
        is_traced && both().any(|source| !matches!(source, Source::Plain))
    }

    /// Checks that the hashes agree, as far as they are known.
    fn check(&self) -> Result<()> {
        for left in self.left.sources.iter().filter_map(Source::hash) {
            for right in self.right.sources.iter().filter_map(Source::hash) {
                if left != right || left == Some(MIXED) {
                    return Err(self.refused(left, right));
                }
            }
        }
        Ok(())
    }

    fn refused(&self, left: Option<&str>, right: Option<&str>) -> Error {
        const ADVICE: &str =
            "ask their owners to mask both columns with `hmac-sha-256`, at nodes with the same `mask_key`";
        let what = match &self.port {
            Some(port) => format!(
                "the query of the port {port} joins columns whose masks do not agree, so that equal values would not match: \
                 ask its owner to change the masks"
            ),
            None => {
                let (a, b) = (&self.left.name, &self.right.name);
                let reason = match (mask_name(left), mask_name(right)) {
                    (Some(mask), Some(other)) if mask == other => {
                        format!("{mask} hashes both, with different salts, keys or types")
                    }
                    (mask, other) => format!("{a} has {}, and {b} has {}", values(mask), values(other)),
                };
                format!("the join of {a} with {b} is refused, because equal values would not match: {reason}; {ADVICE}")
            }
        };
        Error::new(ErrorKind::PermissionDenied, what)
    }
}

/// Returns the name of the mask in an identity, which another node may have sent.
fn mask_name(identity: Option<&str>) -> Option<String> {
    let name = identity?.split('/').next().unwrap_or_default();
    Some(match Mask::parse(name) {
        Ok(mask) => format!("`{mask}`"),
        Err(_) if name == MIXED => "a mix of masks".to_owned(),
        Err(_) => "an unknown mask".to_owned(),
    })
}

fn values(mask: Option<String>) -> String {
    mask.map_or_else(|| "values without a hash".to_owned(), |mask| format!("hashes by {mask}"))
}

/// The hashes in a running query: the comparisons of its joins, and the columns of its result.
#[derive(Debug, Default)]
pub struct HashedColumns(Mutex<Hashes>);

/// The comparisons of a plan, and the origins of its columns.
#[derive(Debug, Default)]
pub(super) struct Hashes {
    pub(super) pairs: Vec<KeyPair>,
    pub(super) columns: Vec<Vec<Source>>,
}

impl HashedColumns {
    /// Replaces the plan, and checks it.
    ///
    /// # Errors
    /// `PermissionDenied` if a join compares hashes that do not agree.
    pub(super) fn replace(&self, hashes: Hashes) -> Result<()> {
        *lock(&self.0) = hashes;
        self.check()
    }

    /// Checks the joins again, after the hashes of another fragment are known.
    ///
    /// # Errors
    /// `PermissionDenied` if a join compares hashes that do not agree.
    pub(super) fn check(&self) -> Result<()> {
        lock(&self.0).pairs.iter().try_for_each(KeyPair::check)
    }

    /// Returns the identity of each result column's hash, by position, as far as it is known: all of them when the first
    /// rows or the end have come. The list is empty if all columns are those of ports and tables without hashes.
    pub fn of_result(&self) -> Vec<Option<String>> {
        let hashes: Vec<_> = lock(&self.0).columns.iter().map(|sources| one_of(sources)).collect();
        if hashes.iter().all(Option::is_none) { vec![] } else { hashes }
    }
}

/// Returns the identity that all values of a column have.
fn one_of(sources: &[Source]) -> Option<String> {
    let mut known = sources.iter().filter_map(Source::hash);
    let Some(first) = known.next() else { return Some(COMPUTED.to_owned()) };
    let is_mixed = known.any(|other| other != first);
    if is_mixed { Some(MIXED.to_owned()) } else { first.map(str::to_owned) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn side(name: &str, sources: &[Source]) -> KeySide {
        KeySide { name: name.to_owned(), sources: sources.to_vec() }
    }

    fn pair(left: &[Source], right: &[Source]) -> KeyPair {
        KeyPair { left: side("a.x", left), right: side("b.x", right), port: None }
    }

    fn hashed(identity: &str) -> Source {
        Source::Hashed(identity.to_owned())
    }

    #[test]
    fn only_equal_hashes_agree() {
        let keyed = hashed("hmac-sha-256/string/01");
        let good = [
            (vec![Source::Plain], vec![Source::Plain]),
            (vec![keyed.clone()], vec![keyed.clone(), keyed.clone()]),
            // Computed values.
            (vec![], vec![keyed.clone()]),
        ];
        for (left, right) in good {
            pair(&left, &right).check().unwrap();
        }
        let bad = [
            (keyed.clone(), Source::Plain, "b.x has values without a hash"),
            (keyed.clone(), hashed("hmac-sha-256/string/02"), "`hmac-sha-256` hashes both, with different salts"),
            (hashed("sha-256-global/int32"), hashed("sha-256-global/int64"), "keys or types"),
            (keyed, hashed("sha-256-global/string"), "b.x has hashes by `sha-256-global`"),
            (hashed(MIXED), hashed(MIXED), "a mix of masks"),
            (hashed("\u{1b}[31m/x"), Source::Plain, "a.x has hashes by an unknown mask"),
        ];
        for (left, right, reason) in bad {
            let part_of_union = [Source::Plain, left.clone()];
            let error = pair(&part_of_union, std::slice::from_ref(&right)).check().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PermissionDenied);
            let error = pair(&[left], &[right]).check().unwrap_err();
            assert!(error.context().contains("the join of a.x with b.x is refused"), "{error}");
            assert!(error.context().contains(reason), "{error}");
        }
    }

    #[test]
    fn the_query_of_a_derived_port_is_not_shown() {
        let hidden = KeyPair {
            port: Some(PortRef::new("sales", "p", "both")),
            ..pair(&[Source::Plain], &[hashed("sha-256-global/string")])
        };
        let error = hidden.check().unwrap_err();
        assert!(error.context().contains("sales.p.both") && !error.context().contains("a.x"), "{error}");
    }

    #[test]
    fn fragments_are_checked_when_their_hashes_are_known() {
        let (first, second) = (FragmentHashes::default(), FragmentHashes::default());
        let (a, b) = (Source::Fragment(first.clone(), 1), Source::Fragment(second.clone(), 0));
        let columns = HashedColumns::default();
        let result = vec![vec![a.clone()], vec![b.clone()], vec![a.clone(), b.clone()], vec![]];
        columns.replace(Hashes { pairs: vec![pair(&[a], &[b])], columns: result }).unwrap();
        first.set(vec![None, Some("sha-256-global/string".to_owned())]).unwrap();
        columns.check().unwrap();
        assert_eq!(columns.of_result().first().cloned().flatten().as_deref(), Some("sha-256-global/string"));
        // A site that reports nothing has no hashes.
        second.set(vec![]).unwrap();
        assert_eq!(columns.check().unwrap_err().kind(), ErrorKind::PermissionDenied);
        let hash = |text: &str| Some(text.to_owned());
        assert_eq!(columns.of_result(), [hash("sha-256-global/string"), None, hash(MIXED), hash(COMPUTED)]);
    }

    #[test]
    fn a_value_that_is_computed_from_a_hash_counts_as_the_hash() {
        let keyed = || hashed("hmac-sha-256/string/01");
        let fragment = FragmentHashes::default();
        let column = Source::Fragment(fragment.clone(), 0);
        let computed = |origins: &[Source]| [Source::Computed(origins.to_vec())];
        // Texts beside a hash do not matter, on both sides.
        pair(&computed(&[keyed(), Source::Plain]), &computed(&[Source::Plain, keyed()])).check().unwrap();
        for right in [&[Source::Plain] as &[Source], &[hashed("sha-256-global/string")]] {
            let error = pair(&computed(&[Source::Plain, keyed()]), right).check().unwrap_err();
            assert!(error.context().contains("a.x has hashes by `hmac-sha-256`"), "{error}");
            assert!(pair(right, &computed(&[computed(&[keyed()])[0].clone()])).check().is_err());
        }
        let mixed = computed(&[keyed(), hashed("sha-256-global/string")]);
        assert!(pair(&mixed, &mixed).check().unwrap_err().context().contains("a mix of masks"));
        // What a fragment sends is known later.
        let later = pair(&computed(&[column.clone(), Source::Plain]), &[Source::Plain]);
        later.check().unwrap();
        fragment.set(vec![Some("sha-256-global/string".to_owned())]).unwrap();
        later.check().unwrap_err();
    }

    /// The owner of a fragment may compute a value. The check does not depend on the place.
    #[test]
    fn computed_columns_are_not_checked() {
        let hashes = FragmentHashes::default();
        hashes.set(vec![Some(COMPUTED.to_owned())]).unwrap();
        let computed = Source::Fragment(hashes, 0);
        let columns = HashedColumns::default();
        let pairs = vec![pair(std::slice::from_ref(&computed), &[hashed("sha-256-global/string")])];
        columns.replace(Hashes { pairs, columns: vec![vec![computed], vec![Source::Plain]] }).unwrap();
        assert_eq!(columns.of_result(), [Some(COMPUTED.to_owned()), None]);
        columns.replace(Hashes { pairs: vec![], columns: vec![vec![Source::Plain]] }).unwrap();
        assert!(columns.of_result().is_empty());
    }
}
