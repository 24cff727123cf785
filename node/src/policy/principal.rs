//! The principal that a policy is explained or tested for: from the arguments, and from the users of the config.

use std::collections::{BTreeMap, BTreeSet};

use portolan_catalog::nearest::nearest;
use portolan_connectors::Principal;

use crate::{Error, NodeConfig, Result};

/// A principal of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AskedPrincipal {
    pub(super) name: String,
    pub(super) groups: BTreeSet<String>,
    pub(super) attributes: BTreeMap<String, Vec<String>>,
    /// True if the config has a user of this name.
    pub(super) is_user: bool,
}

impl AskedPrincipal {
    /// Returns the principal with this name. The groups and the attributes that are not given are those of the user in
    /// the config.
    ///
    /// # Errors
    /// A name that no user has, but that is near to one, if neither groups nor attributes are given.
    pub(super) fn new(
        config: &NodeConfig,
        name: &str,
        groups: Option<BTreeSet<String>>,
        attributes: Option<BTreeMap<String, Vec<String>>>,
    ) -> Result<Self> {
        let user = config.users.iter().find(|user| user.name == name);
        let names = || config.users.iter().map(|user| user.name.as_str());
        if user.is_none()
            && groups.is_none()
            && attributes.is_none()
            && let Some(near) = nearest(name, names())
        {
            return Err(Error::config(format!(
                "the config has no user `{name}`; did you mean `{near}`? For a principal of a token or a certificate, \
                 name the groups or the attributes"
            )));
        }
        Ok(Self {
            name: name.to_owned(),
            groups: groups.or_else(|| user.map(|user| user.groups.clone())).unwrap_or_default(),
            attributes: attributes.or_else(|| user.map(|user| user.attributes.clone())).unwrap_or_default(),
            is_user: user.is_some(),
        })
    }

    /// Returns the principal of a session.
    pub(super) fn principal(&self) -> Principal {
        let principal = Principal::new(&self.name).with_groups(&self.groups);
        self.attributes.iter().fold(principal, |principal, (name, values)| principal.with_attribute(name, values))
    }
}

/// Parses an attribute of a principal: `name=value`.
///
/// # Errors
/// A text without a name or without `=`.
pub fn parse_attribute(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("expected `name=value`, got `{text}`")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::path::Path;

    use super::*;

    #[test]
    fn the_config_has_the_defaults() {
        let text = "users:\n- name: anna\n  groups: [analysts]\n  attributes: {region: [EU]}\n  password_hash: x\n";
        let mut config = NodeConfig::default();
        let user = portolan_catalog::yaml::parse::<NodeConfig>(text, Path::new("node.yaml")).unwrap();
        config.users = user.users;
        let asked = |name: &str, groups: Option<&str>| {
            AskedPrincipal::new(&config, name, groups.map(|group| [group.to_owned()].into()), None)
        };
        let anna = asked("anna", None).unwrap();
        assert_eq!((anna.groups.len(), anna.attributes["region"].as_slice()), (1, ["EU".to_owned()].as_slice()));
        assert_eq!(asked("anna", Some("owners")).unwrap().groups, ["owners".to_owned()].into());
        assert!(!asked("somebody", None).unwrap().is_user);
        assert!(!asked("ana", Some("owners")).unwrap().is_user);
        let error = asked("ana", None).unwrap_err().to_string();
        assert!(error.starts_with("the config has no user `ana`; did you mean `anna`?"), "{error}");
    }

    #[test]
    fn an_attribute_has_a_name() {
        assert_eq!(parse_attribute("region=a=b").unwrap(), ("region".to_owned(), "a=b".to_owned()));
        assert!(parse_attribute("=b").is_err() && parse_attribute("b").is_err());
    }
}
