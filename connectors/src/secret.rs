//! Secrets in a node's config. A secret is never shown. The config can have the secret itself, or name its environment
//! variable or file.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

/// A string that is never shown: the string itself, or a reference such as `{env: NAME}` or `{file: path}`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(SecretSource);

#[derive(Clone, PartialEq, Eq)]
enum SecretSource {
    Literal(String),
    Env(String),
    File(PathBuf),
}

impl Secret {
    /// Wraps a string.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretSource::Literal(text.into()))
    }

    /// True if the config has the string itself.
    pub(crate) fn is_inline(&self) -> bool {
        matches!(self.0, SecretSource::Literal(_))
    }

    /// Returns the file that contains the secret, if it is in a file.
    pub(crate) fn file(&self) -> Option<&Path> {
        match &self.0 {
            SecretSource::File(path) => Some(path),
            SecretSource::Literal(_) | SecretSource::Env(_) => None,
        }
    }

    pub(crate) fn file_mut(&mut self) -> Option<&mut PathBuf> {
        match &mut self.0 {
            SecretSource::File(path) => Some(path),
            SecretSource::Literal(_) | SecretSource::Env(_) => None,
        }
    }

    /// Returns the string.
    ///
    /// # Errors
    /// The environment variable or the file is missing or is not text. The error is a message for a person.
    #[cfg(any(feature = "files", feature = "databases"))]
    pub(crate) fn reveal(&self) -> Result<String, String> {
        match &self.0 {
            SecretSource::Literal(text) => Ok(text.clone()),
            SecretSource::Env(name) => {
                std::env::var(name).map_err(|_| format!("the environment variable `{name}` is not set, or is not text"))
            }
            SecretSource::File(path) => match std::fs::read_to_string(path) {
                Ok(text) => Ok(text.trim_end_matches(['\r', '\n']).to_owned()),
                Err(e) => Err(format!("the secret in {} cannot be read: {e}", path.display())),
            },
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SecretVisitor)
    }
}

/// Parses a secret. A derived visitor would repeat a value of the wrong type in its error.
struct SecretVisitor;

const FORMS: &str = "a secret is text in quotes, `{env: NAME}` or `{file: path}`";

impl<'de> Visitor<'de> for SecretVisitor {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(FORMS)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Secret, E> {
        Ok(Secret::new(text))
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<Secret, E> {
        Err(E::custom(FORMS))
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<Secret, E> {
        Err(E::custom(FORMS))
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<Secret, E> {
        Err(E::custom(FORMS))
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Secret, E> {
        Err(E::custom(FORMS))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Secret, A::Error> {
        let entry = map.next_entry::<String, String>()?;
        if entry.is_none() || map.next_key::<String>()?.is_some() {
            return Err(A::Error::custom(FORMS));
        }
        match entry {
            Some((key, name)) if key == "env" => Ok(Secret(SecretSource::Env(name))),
            Some((key, path)) if key == "file" => Ok(Secret(SecretSource::File(path.into()))),
            _ => Err(A::Error::custom(FORMS)),
        }
    }
}
