//! The options of sources in a node's config: credentials, the places that the credentials may go to, and limits. One
//! type serves all kinds of sources.

mod database;
mod stores;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use self::database::{DatabaseOptions, OptionFault, TlsMode};
pub use self::stores::{AzureOptions, GcsOptions, HttpOptions, S3Options};
use crate::secret::Secret;

/// The options of one source, under `sources.<server>` in the config. A store without credentials in the config uses
/// those of the environment, which go only to the provider's own hosts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SourceOptions {
    /// The largest number of files of a port. Default: 100,000.
    pub max_files: usize,
    /// The folder that the source's local files must be in, such as the file of a SQLite database. Default: the config's
    /// folder and the folder of descriptors.
    pub root: Option<PathBuf>,
    /// The principals that may add rows to the ports, which must be folders of Parquet files or tables of a database:
    /// names of principals, `group:` and the name of a group, or `*` for every principal. Default: none.
    pub writers: Vec<String>,
    /// The access to `s3://`.
    pub s3: S3Options,
    /// The access to `gs://`.
    pub gcs: GcsOptions,
    /// The access to `az://` and `abfs://`.
    pub azure: AzureOptions,
    /// The access to `http://` and `https://`.
    pub http: HttpOptions,
    /// The access to a database.
    pub database: DatabaseOptions,
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
            database: DatabaseOptions::default(),
        }
    }
}

impl SourceOptions {
    /// Returns the stores and databases whose credentials could go nowhere, because the options name no bucket or host:
    /// the key of the store, and the key that is missing.
    pub fn unbound(&self) -> Vec<(&'static str, &'static str)> {
        let stores = [
            ("s3", "buckets", self.s3.has_credentials() && self.s3.buckets.is_empty()),
            ("gcs", "buckets", self.gcs.has_credentials() && self.gcs.buckets.is_empty()),
            ("azure", "containers", self.azure.has_credentials() && self.azure.containers.is_empty()),
            ("http", "hosts", self.http.has_credentials() && self.http.hosts.is_empty()),
            ("database", "host", self.database.has_credentials() && self.database.host.is_none()),
        ];
        stores.into_iter().filter(|(_, _, is_unbound)| *is_unbound).map(|(store, key, _)| (store, key)).collect()
    }

    /// Returns the files with secrets that the options name.
    pub fn secret_files(&self) -> impl Iterator<Item = &Path> {
        self.secrets().filter_map(Secret::file).chain(self.gcs.service_account_path.as_deref())
    }

    /// Returns the paths of all files that the options name, which the caller may change: those with secrets, and those
    /// of certificate authorities.
    pub fn named_files_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let Self { s3, gcs, azure, http, database, .. } = self;
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
            &mut database.password,
        ];
        let paths = gcs.service_account_path.iter_mut().chain(&mut database.ca);
        secrets.into_iter().flatten().filter_map(Secret::file_mut).chain(paths)
    }

    /// True if the options themselves contain a secret.
    pub fn has_inline_secrets(&self) -> bool {
        self.secrets().any(Secret::is_inline)
    }

    fn secrets(&self) -> impl Iterator<Item = &Secret> {
        let Self { s3, gcs, azure, http, database, .. } = self;
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
            &database.password,
        ];
        secrets.into_iter().flatten()
    }
}
