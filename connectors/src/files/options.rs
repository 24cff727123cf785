//! The options of sources in a node's config: credentials, the places that the credentials may go to, and limits.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::secret::Secret;

/// The options of one source, under `sources.<server>` in the config. A store without credentials in the config uses
/// those of the environment, which go only to the provider's own hosts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SourceOptions {
    /// The largest number of files of a port. Default: 100,000.
    pub max_files: usize,
    /// The folder that the source's local files must be in. Default: the folders of
    /// [`FileSources::within`](super::FileSources::within).
    pub root: Option<PathBuf>,
    /// The principals that may add rows to the ports, which must be folders of Parquet files: names of principals,
    /// `group:` and the name of a group, or `*` for every principal. Default: none.
    pub writers: Vec<String>,
    /// The access to `s3://`.
    pub s3: S3Options,
    /// The access to `gs://`.
    pub gcs: GcsOptions,
    /// The access to `az://` and `abfs://`.
    pub azure: AzureOptions,
    /// The access to `http://` and `https://`.
    pub http: HttpOptions,
}

impl Default for SourceOptions {
    fn default() -> Self {
        Self {
            max_files: 100_000,
            root: None,
            writers: vec![],
            s3: S3Options::default(),
            gcs: GcsOptions::default(),
            azure: AzureOptions::default(),
            http: HttpOptions::default(),
        }
    }
}

impl SourceOptions {
    /// Returns the stores whose credentials could go nowhere, because the options name no bucket or host: the key of
    /// the store, and the key that is missing.
    pub fn unbound(&self) -> Vec<(&'static str, &'static str)> {
        let stores = [
            ("s3", "buckets", self.s3.has_credentials() && self.s3.buckets.is_empty()),
            ("gcs", "buckets", self.gcs.has_credentials() && self.gcs.buckets.is_empty()),
            ("azure", "containers", self.azure.has_credentials() && self.azure.containers.is_empty()),
            ("http", "hosts", self.http.has_credentials() && self.http.hosts.is_empty()),
        ];
        stores.into_iter().filter(|(_, _, is_unbound)| *is_unbound).map(|(store, key, _)| (store, key)).collect()
    }

    /// Returns the files with secrets that the options name.
    pub fn secret_files(&self) -> impl Iterator<Item = &Path> {
        self.secrets().filter_map(Secret::file).chain(self.gcs.service_account_path.as_deref())
    }

    /// Returns the paths of these files, which the caller may change.
    pub fn secret_files_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let Self { s3, gcs, azure, http, .. } = self;
        let secrets = [
            &mut s3.access_key_id,
            &mut s3.secret_access_key,
            &mut s3.session_token,
            &mut gcs.service_account_key,
            &mut azure.access_key,
            &mut azure.sas_token,
            &mut azure.bearer_token,
            &mut http.bearer_token,
            &mut http.password,
        ];
        secrets.into_iter().flatten().filter_map(Secret::file_mut).chain(gcs.service_account_path.as_mut())
    }

    /// True if the options themselves contain a secret.
    pub fn has_inline_secrets(&self) -> bool {
        self.secrets().any(Secret::is_inline)
    }

    fn secrets(&self) -> impl Iterator<Item = &Secret> {
        let Self { s3, gcs, azure, http, .. } = self;
        let secrets = [
            &s3.access_key_id,
            &s3.secret_access_key,
            &s3.session_token,
            &gcs.service_account_key,
            &azure.access_key,
            &azure.sas_token,
            &azure.bearer_token,
            &http.bearer_token,
            &http.password,
        ];
        secrets.into_iter().flatten()
    }
}

/// The access to Amazon S3, or to a server with the same protocol. Default: the `AWS_…` environment variables.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct S3Options {
    /// The server's URL. Default: Amazon's.
    pub endpoint: Option<String>,
    /// The buckets that are read with these credentials, or `*` for every bucket. Default: every bucket with the
    /// credentials of the environment, and none with credentials in the config.
    pub buckets: Vec<String>,
    /// The region.
    pub region: Option<String>,
    /// The id of the access key.
    pub access_key_id: Option<Secret>,
    /// The secret access key.
    pub secret_access_key: Option<Secret>,
    /// The session token of temporary keys.
    pub session_token: Option<Secret>,
    /// Permits an endpoint without TLS if true. Default: false.
    pub allow_http: bool,
    /// True if the bucket is in the host name, false if it is in the path. Default: false.
    pub virtual_hosted_style: bool,
    /// Sends requests without credentials if true, for public buckets. Default: false.
    pub anonymous: bool,
}

/// The access to Google Cloud Storage. Default: the `GOOGLE_…` environment variables.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GcsOptions {
    /// The server's URL. Default: Google's.
    pub endpoint: Option<String>,
    /// The buckets that are read with these credentials, as for S3.
    pub buckets: Vec<String>,
    /// The file with the service account's key.
    pub service_account_path: Option<PathBuf>,
    /// The service account's key, as JSON.
    pub service_account_key: Option<Secret>,
    /// Permits an endpoint without TLS if true. Default: false.
    pub allow_http: bool,
    /// Sends requests without credentials if true, for public buckets. Default: false.
    pub anonymous: bool,
}

/// The access to Azure Blob Storage. Default: the `AZURE_…` environment variables.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AzureOptions {
    /// The server's URL. Default: Azure's.
    pub endpoint: Option<String>,
    /// The storage account. Credentials in the config go to no other. Default: the location's.
    pub account: Option<String>,
    /// The containers that are read with these credentials, as the buckets of S3.
    pub containers: Vec<String>,
    /// The account's key.
    pub access_key: Option<Secret>,
    /// A shared access signature, as the portal shows it.
    pub sas_token: Option<Secret>,
    /// A bearer token.
    pub bearer_token: Option<Secret>,
    /// Permits an endpoint without TLS if true. Default: false.
    pub allow_http: bool,
    /// Sends requests without credentials if true, for public containers. Default: false.
    pub anonymous: bool,
}

/// The access to a web server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpOptions {
    /// A bearer token.
    pub bearer_token: Option<Secret>,
    /// The user of basic authentication.
    pub username: Option<String>,
    /// The password of basic authentication.
    pub password: Option<Secret>,
    /// The hosts that locations may name and that receive the credentials: `host`, or `host:port`. Default: every host
    /// without credentials, except for the addresses of this machine and of its link.
    pub hosts: Vec<String>,
    /// Permits requests to a server without TLS if true. Default: false.
    pub allow_http: bool,
}

impl S3Options {
    pub(super) fn has_credentials(&self) -> bool {
        self.access_key_id.is_some() || self.secret_access_key.is_some() || self.session_token.is_some()
    }
}

impl GcsOptions {
    pub(super) fn has_credentials(&self) -> bool {
        self.service_account_key.is_some() || self.service_account_path.is_some()
    }
}

impl AzureOptions {
    pub(super) fn has_credentials(&self) -> bool {
        self.access_key.is_some() || self.sas_token.is_some() || self.bearer_token.is_some()
    }
}

impl HttpOptions {
    pub(super) fn has_credentials(&self) -> bool {
        self.bearer_token.is_some() || self.username.is_some() || self.password.is_some()
    }
}
