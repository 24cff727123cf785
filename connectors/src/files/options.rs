//! What a node's config adds to the sources that contracts name: credentials, endpoints and limits.
//! A secret is never shown, and may be named instead of written out.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

/// What the config says of one source, under `sources.<server>`. Where it says nothing, the environment is asked.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SourceOptions {
    /// How many files a port may have. Default: 100,000.
    pub max_files: usize,
    /// Who may add rows to its ports, which must be folders of Parquet files: names of principals, `group:` and the name of a group, or `*` for
    /// everybody. Default: nobody.
    pub writers: Vec<String>,
    /// How to reach `s3://`.
    pub s3: S3Options,
    /// How to reach `gs://`.
    pub gcs: GcsOptions,
    /// How to reach `az://` and `abfs://`.
    pub azure: AzureOptions,
    /// How to reach `http://` and `https://`.
    pub http: HttpOptions,
}

impl Default for SourceOptions {
    fn default() -> Self {
        Self {
            max_files: 100_000,
            writers: vec![],
            s3: S3Options::default(),
            gcs: GcsOptions::default(),
            azure: AzureOptions::default(),
            http: HttpOptions::default(),
        }
    }
}

/// How to reach Amazon S3, or a server that speaks its protocol. Default: what the `AWS_…` environment says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct S3Options {
    /// The server's URL, where it is not Amazon's.
    pub endpoint: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// Who asks.
    pub access_key_id: Option<Secret>,
    /// The proof of that.
    pub secret_access_key: Option<Secret>,
    /// The token that goes with temporary keys.
    pub session_token: Option<Secret>,
    /// Whether an endpoint without TLS may be used. Default: no.
    pub allow_http: bool,
    /// Whether the bucket stands in the host name. Default: in the path.
    pub virtual_hosted_style: bool,
    /// Whether to ask without credentials, for public buckets. Default: no.
    pub anonymous: bool,
}

/// How to reach Google Cloud Storage. Default: what the `GOOGLE_…` environment says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GcsOptions {
    /// The server's URL, where it is not Google's.
    pub endpoint: Option<String>,
    /// The file with the service account's key.
    pub service_account_path: Option<PathBuf>,
    /// The service account's key itself, as JSON.
    pub service_account_key: Option<Secret>,
    /// Whether an endpoint without TLS may be used. Default: no.
    pub allow_http: bool,
    /// Whether to ask without credentials, for public buckets. Default: no.
    pub anonymous: bool,
}

/// How to reach Azure Blob Storage. Default: what the `AZURE_…` environment says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AzureOptions {
    /// The server's URL, where it is not Azure's.
    pub endpoint: Option<String>,
    /// The storage account, where the location does not name it.
    pub account: Option<String>,
    /// The account's key.
    pub access_key: Option<Secret>,
    /// A shared access signature, as the portal gives it.
    pub sas_token: Option<Secret>,
    /// A bearer token.
    pub bearer_token: Option<Secret>,
    /// Whether an endpoint without TLS may be used. Default: no.
    pub allow_http: bool,
    /// Whether to ask without credentials, for public containers. Default: no.
    pub anonymous: bool,
}

/// How to reach a web server.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpOptions {
    /// A bearer token.
    pub bearer_token: Option<Secret>,
    /// The user of basic authentication.
    pub username: Option<String>,
    /// The password of basic authentication.
    pub password: Option<Secret>,
    /// Whether the credentials may go to a server without TLS. Default: no.
    pub allow_http: bool,
}

/// A text that is never shown: written out, or named as `{env: NAME}` or `{file: path}`.
#[derive(Clone)]
pub struct Secret(SecretSource);

#[derive(Clone)]
enum SecretSource {
    Literal(String),
    Env(String),
    File(PathBuf),
}

impl Secret {
    /// A secret that is written out.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretSource::Literal(text.into()))
    }

    /// The text itself.
    ///
    /// # Errors
    /// The environment variable or the file that it should come from is not there, as text for a person.
    pub(super) fn reveal(&self) -> Result<String, String> {
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

/// Written by hand: the derived one would repeat a value of the wrong type in its error.
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
