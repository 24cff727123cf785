//! The options of object stores and web servers in a node's config.

use std::path::PathBuf;

use serde::Deserialize;

use crate::secret::Secret;

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
    pub(crate) fn has_credentials(&self) -> bool {
        self.access_key_id.is_some() || self.secret_access_key.is_some() || self.session_token.is_some()
    }
}

impl GcsOptions {
    pub(crate) fn has_credentials(&self) -> bool {
        self.service_account_key.is_some() || self.service_account_path.is_some()
    }
}

impl AzureOptions {
    pub(crate) fn has_credentials(&self) -> bool {
        self.access_key.is_some() || self.sas_token.is_some() || self.bearer_token.is_some()
    }
}

impl HttpOptions {
    pub(crate) fn has_credentials(&self) -> bool {
        self.bearer_token.is_some() || self.username.is_some() || self.password.is_some()
    }
}
