//! The access to a new node: its user, and the nodes that it trusts.

use std::fs;

use portolan_catalog::printable;
use portolan_connectors::node::PublicKey;
use portolan_node::draft::identifier;
use portolan_node::{Error, Result};

use crate::password;
use crate::questions::Questions;

/// Parses a node that is trusted, and reads its key.
pub(super) fn trusted(text: &str) -> Result<(String, String)> {
    let Some((name, key)) = text.split_once('=').filter(|(name, _)| !name.is_empty()) else {
        return Err(Error::config(format!("expected a name, `=` and a key or its file, got `--trust {text}`")));
    };
    if let Some(key) = PublicKey::from_text(key) {
        return Ok((name.to_owned(), key.to_string()));
    }
    let pem = match key.starts_with("-----BEGIN") {
        true => key.as_bytes().to_vec(),
        false => fs::read(key).map_err(|e| Error::config(format!("cannot read the key {key}")).with_source(e))?,
    };
    // The text may be a private key by mistake, so the error does not repeat it.
    let public = PublicKey::from_pem(&pem).map_err(|e| Error::config(format!("the key of {name} {}", e.chain())))?;
    Ok((name.to_owned(), public.to_string()))
}

/// Returns the name of the person who runs the command.
pub(super) fn user_default() -> String {
    let names = ["USER", "USERNAME"].into_iter().filter_map(|variable| std::env::var(variable).ok());
    names.map(|name| identifier(&name)).find(|name| !name.is_empty()).unwrap_or_else(|| "admin".to_owned())
}

/// Returns the password of a new user, and true if it is generated.
pub(super) fn new_password(user: &str, questions: Questions) -> Result<(String, bool)> {
    if let Ok(password) = std::env::var("PORTOLAN_PASSWORD")
        && !password.is_empty()
    {
        return Ok((password, false));
    }
    if questions.is_asking() {
        let password = password::ask(&format!("password of {} (empty: generate one): ", printable(user)))?;
        if !password.is_empty() {
            return match password::ask("the same again: ")? == password {
                true => Ok((password, false)),
                false => Err(Error::config("the passwords differ, so nothing was written: run the command again")),
            };
        }
    }
    Ok((password::generate(), true))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use portolan_connectors::node::NodeKey;

    use super::*;

    #[test]
    fn a_trusted_node_has_a_name_and_a_key() {
        let folder = tempfile::tempdir().unwrap();
        let key = NodeKey::from_pem(NodeKey::generate().unwrap().as_bytes()).unwrap();
        let (file, text) = (folder.path().join("key.pem"), key.public().to_string());
        fs::write(&file, key.public().to_pem()).unwrap();
        let expected = ("gateway".to_owned(), text.clone());
        assert_eq!(trusted(&format!("gateway={text}")).unwrap(), expected);
        assert_eq!(trusted(&format!("gateway={}", file.display())).unwrap(), expected);
        for wrong in ["gateway", "=x", "gateway=/nowhere/key.pem"] {
            assert!(trusted(wrong).is_err(), "{wrong}");
        }
        fs::write(&file, NodeKey::generate().unwrap()).unwrap();
        let refused = trusted(&format!("gateway={}", file.display())).unwrap_err().owner_chain();
        assert!(!refused.contains("BEGIN"), "{refused}");
    }
}
