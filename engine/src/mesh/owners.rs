//! The owners of domains. The config can pin a domain to keys. Any other domain belongs to the first key that claims
//! it, also after a restart if the engine has a file for its owners.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use portolan_catalog::DomainName;
use portolan_connectors::OwnerKey;

use super::owners_file::OwnersFile;
use crate::Result;

/// The largest number of domains whose owners are remembered.
pub(super) const MAX_REMEMBERED: usize = 10_000;
/// The largest number of them with one owner, so that one peer leaves room for others.
const MAX_OF_ONE: usize = 512;
/// The number of remembered domains from which on learned peers add none. Other nodes choose the learned peers, and
/// these must leave room for the peers in the config.
const MAX_WITH_LEARNED: usize = MAX_REMEMBERED / 2;

/// The owners of domains, as this engine knows them.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    /// The key of this engine; `None` if it has none.
    own: Option<OwnerKey>,
    /// The keys in the config.
    pinned: BTreeMap<DomainName, Vec<OwnerKey>>,
    /// The keys of the first claims.
    remembered: BTreeMap<DomainName, OwnerKey>,
    /// The number of remembered domains of each key.
    owned: BTreeMap<OwnerKey, usize>,
    /// The remembered keys that the file does not have yet.
    unsaved: BTreeMap<DomainName, OwnerKey>,
    file: Option<Arc<OwnersFile>>,
}

impl Owners {
    /// Returns the owners with the keys in the config, and those in `file` if it exists.
    ///
    /// # Errors
    /// `InvalidQuery` if the file cannot be read.
    pub(crate) fn open(
        own: Option<OwnerKey>,
        pinned: BTreeMap<DomainName, Vec<OwnerKey>>,
        file: Option<PathBuf>,
    ) -> Result<Self> {
        let file = file.map(|path| Arc::new(OwnersFile::new(path)));
        let remembered = match &file {
            Some(file) => file.read()?,
            None => BTreeMap::new(),
        };
        let mut owned: BTreeMap<OwnerKey, usize> = BTreeMap::new();
        for key in remembered.values() {
            *owned.entry(key.clone()).or_default() += 1;
        }
        Ok(Self { own, pinned, remembered, owned, unsaved: BTreeMap::new(), file })
    }

    /// Replaces the keys that domains are pinned to.
    pub(super) fn pin(&mut self, keys: BTreeMap<DomainName, Vec<OwnerKey>>) {
        self.pinned = keys;
    }

    /// Returns the key of this engine, if it has one.
    pub(super) fn own(&self) -> Option<&OwnerKey> {
        self.own.as_ref()
    }

    /// Returns why a node with this key does not own the domain, and how to settle it. `None` if it does, or if the
    /// domain has no owner yet. `is_learned` is true for a learned peer.
    pub(super) fn refusal(&self, domain: &DomainName, key: &OwnerKey, is_learned: bool) -> Option<String> {
        if let Some(keys) = self.pinned.get(domain) {
            return (!keys.contains(key)).then(|| {
                format!("its key is {key}, but the config pins the domain to another key (`domains.{domain}.key`)")
            });
        }
        match self.remembered.get(domain) {
            Some(owner) if owner == key => None,
            Some(owner) => {
                let file = self.file.as_ref().map(|file| file.name());
                let forget = file.map(|name| format!("remove the domain from `{name}` in the state folder and "));
                Some(format!(
                    "its key is {key}, but the first owner of the domain had the key {owner}: if the owner has a new \
                     key, {}restart this node, or pin the new key with `domains.{domain}.key` in its config",
                    forget.unwrap_or_default()
                ))
            }
            None if self.owned_by(key) >= MAX_OF_ONE => Some(format!(
                "this node remembers at most {MAX_OF_ONE} domains of one owner: pin the key of this domain with \
                 `domains.{domain}.key` in its config"
            )),
            None if self.remembered.len() >= MAX_REMEMBERED => Some(format!(
                "this node remembers the owners of at most {MAX_REMEMBERED} domains: pin the key of this domain with \
                 `domains.{domain}.key` in its config"
            )),
            None if is_learned && self.remembered.len() >= MAX_WITH_LEARNED => Some(format!(
                "this node remembers no further domains of learned peers, because it remembers the owners of \
                 {MAX_WITH_LEARNED} domains: pin the key of this domain with `domains.{domain}.key` in its config"
            )),
            None => None,
        }
    }

    /// Returns the number of domains that the node remembers as those of a key.
    fn owned_by(&self, key: &OwnerKey) -> usize {
        self.owned.get(key).copied().unwrap_or_default()
    }

    /// Remembers that the key owns the domain, unless the domain has an owner.
    pub(super) fn learn(&mut self, domain: &DomainName, key: &OwnerKey, is_learned: bool) {
        let is_known = self.pinned.contains_key(domain) || self.remembered.contains_key(domain);
        let most = if is_learned { MAX_WITH_LEARNED } else { MAX_REMEMBERED };
        if is_known || self.remembered.len() >= most || self.owned_by(key) >= MAX_OF_ONE {
            return;
        }
        self.remembered.insert(domain.clone(), key.clone());
        *self.owned.entry(key.clone()).or_default() += 1;
        if self.file.is_some() {
            self.unsaved.insert(domain.clone(), key.clone());
        }
    }

    /// Returns the owners that the file does not have yet, and the file. `None` if there is nothing to save.
    pub(super) fn unsaved(&self) -> Option<(Arc<OwnersFile>, BTreeMap<DomainName, OwnerKey>)> {
        let file = self.file.as_ref().filter(|_| !self.unsaved.is_empty())?;
        Some((file.clone(), self.unsaved.clone()))
    }

    /// Records that the file has these owners.
    pub(super) fn saved(&mut self, owners: &BTreeMap<DomainName, OwnerKey>) {
        self.unsaved.retain(|domain, _| !owners.contains_key(domain));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn domain(name: &str) -> DomainName {
        DomainName::new(name)
    }

    fn key(name: &str) -> OwnerKey {
        OwnerKey::new(format!("ed25519:{name}"))
    }

    #[test]
    fn the_first_claim_counts() {
        let mut owners = Owners::default();
        assert_eq!(owners.refusal(&domain("people"), &key("a"), false), None);
        owners.learn(&domain("people"), &key("a"), false);
        owners.learn(&domain("people"), &key("b"), false);
        assert_eq!(owners.refusal(&domain("people"), &key("a"), false), None);
        let refusal = owners.refusal(&domain("people"), &key("b"), false).unwrap();
        for part in ["ed25519:b", "ed25519:a", "restart this node", "`domains.people.key`"] {
            assert!(refusal.contains(part), "{refusal}");
        }
        assert!(owners.unsaved().is_none(), "there is no file");
    }

    #[test]
    fn one_owner_leaves_room_for_others() {
        let mut owners = Owners::default();
        (0..MAX_OF_ONE).for_each(|i| owners.learn(&domain(&format!("d{i}")), &key("a"), false));
        let refusal = owners.refusal(&domain("more"), &key("a"), false).unwrap();
        assert!(refusal.contains("at most 512 domains"), "{refusal}");
        assert_eq!(owners.refusal(&domain("d0"), &key("a"), false), None);
        assert_eq!(owners.refusal(&domain("more"), &key("b"), false), None);
    }

    #[test]
    fn the_owners_in_the_file_count() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("owners.json");
        let remembered: BTreeMap<_, _> = (0..MAX_OF_ONE).map(|i| (domain(&format!("d{i}")), key("a"))).collect();
        std::fs::write(&path, serde_json::to_vec(&remembered).unwrap()).unwrap();
        let owners = Owners::open(None, BTreeMap::new(), Some(path)).unwrap();
        assert!(owners.refusal(&domain("more"), &key("a"), false).is_some());
        assert_eq!(owners.refusal(&domain("more"), &key("b"), false), None);
    }

    #[test]
    fn a_pin_takes_precedence() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("owners.json");
        std::fs::write(&path, r#"{"people": "ed25519:b"}"#).unwrap();
        let pinned = [(domain("people"), vec![key("old"), key("new")])].into();
        let owners = Owners::open(None, pinned, Some(path)).unwrap();
        assert_eq!(owners.refusal(&domain("people"), &key("old"), false), None);
        assert_eq!(owners.refusal(&domain("people"), &key("new"), false), None);
        let refusal = owners.refusal(&domain("people"), &key("b"), false).unwrap();
        assert!(refusal.contains("pins the domain to another key (`domains.people.key`)"), "{refusal}");
    }

    #[test]
    fn owners_are_remembered_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/owners.json");
        let open = || Owners::open(None, BTreeMap::new(), Some(path.clone())).unwrap();
        let mut owners = open();
        owners.learn(&domain("people"), &key("a"), false);
        let (file, new) = owners.unsaved().unwrap();
        file.add(&new).unwrap();
        owners.saved(&new);
        assert!(owners.unsaved().is_none());

        let mut again = open();
        let refusal = again.refusal(&domain("people"), &key("b"), false).unwrap();
        assert!(refusal.contains("remove the domain from `owners.json`"), "{refusal}");
        assert!(!refusal.contains("state/"), "clients do not see where files are: {refusal}");
        again.learn(&domain("geo"), &key("c"), false);
        let (file, new) = again.unsaved().unwrap();
        file.add(&new).unwrap();
        let last = open();
        assert!(last.refusal(&domain("people"), &key("b"), false).is_some());
        assert!(last.refusal(&domain("geo"), &key("b"), false).is_some());
        let files = std::fs::read_dir(folder.path().join("state")).unwrap().count();
        assert_eq!(files, 1, "no temporary file is left");
    }

    #[test]
    fn an_entry_that_somebody_removes_stays_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("owners.json");
        let mut owners = Owners::open(None, BTreeMap::new(), Some(path.clone())).unwrap();
        let save = |owners: &mut Owners| {
            let (file, new) = owners.unsaved().unwrap();
            file.add(&new).unwrap();
            owners.saved(&new);
        };
        owners.learn(&domain("people"), &key("a"), false);
        save(&mut owners);
        std::fs::write(&path, "{}").unwrap();
        owners.learn(&domain("geo"), &key("a"), false);
        save(&mut owners);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("geo") && !text.contains("people"), "{text}");
    }

    #[test]
    fn a_file_that_cannot_be_understood_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("owners.json");
        for text in ["", "[]", r#"{"people": 1}"#, "{\"a\": \"b\""] {
            std::fs::write(&path, text).unwrap();
            let error = Owners::open(None, BTreeMap::new(), Some(path.clone())).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::InvalidQuery, "{text}");
            assert!(error.chain().contains("correct the file, or remove it"), "{}", error.chain());
        }
        std::fs::write(&path, " ".repeat((16 << 20) + 1)).unwrap();
        let error = Owners::open(None, BTreeMap::new(), Some(path)).unwrap_err();
        assert!(error.chain().contains("more than 16 MiB"), "{}", error.chain());
    }

    #[test]
    fn the_number_of_owners_is_bounded() {
        let mut owners = Owners::default();
        for i in 0..MAX_REMEMBERED {
            owners.learn(&domain(&format!("d{i}")), &key(&format!("k{}", i / MAX_OF_ONE)), false);
        }
        owners.learn(&domain("people"), &key("a"), false);
        assert_eq!(owners.remembered.len(), MAX_REMEMBERED);
        let refusal = owners.refusal(&domain("people"), &key("a"), false).unwrap();
        assert!(refusal.contains("at most 10000 domains"), "{refusal}");
        assert_eq!(owners.refusal(&domain("d7"), &key("k0"), false), None);
    }

    #[test]
    fn learned_peers_leave_half_of_the_room() {
        let mut owners = Owners::default();
        let key_of = |i: usize| key(&format!("k{}", i / MAX_OF_ONE));
        (0..MAX_REMEMBERED).for_each(|i| owners.learn(&domain(&format!("d{i}")), &key_of(i), true));
        assert_eq!(owners.remembered.len(), MAX_REMEMBERED / 2);
        let refusal = owners.refusal(&domain("people"), &key("a"), true).unwrap();
        assert!(refusal.contains("no further domains of learned peers"), "{refusal}");
        assert_eq!(owners.refusal(&domain("d7"), &key("k0"), true), None);
        owners.learn(&domain("people"), &key("a"), false);
        assert!(owners.refusal(&domain("people"), &key("b"), false).is_some());
    }
}
