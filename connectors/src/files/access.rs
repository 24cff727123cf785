//! Decides which credentials requests to an object store carry, and where the requests go. The author of a contract can
//! name any bucket and any endpoint. Credentials of the config go only to the buckets and the endpoint that the config
//! names. Credentials of the environment go only to the provider, or to the endpoint that the environment names.

use url::Url;

use super::reach::UrlReach;
use crate::source_options::{AzureOptions, GcsOptions, S3Options};

/// The name that stands for every bucket.
const EVERY_BUCKET: &str = "*";

/// The credentials that requests carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CredentialOrigin {
    /// Those of the config.
    Config,
    /// Those of the environment, including those that a cloud gives to its machines.
    Environment,
    /// None.
    Nobody,
}

/// The access to one store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GrantedAccess {
    /// The credentials.
    pub(super) credentials: CredentialOrigin,
    /// The endpoint; `None` for that of the provider, or of the environment along with its credentials.
    pub(super) endpoint: Option<String>,
    /// The servers that may be reached, if the endpoint is the contract's.
    pub(super) reach: Option<UrlReach>,
}

/// What the config, the environment and the contract say about one store.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StoreAccess<'a> {
    /// The place of the store's options in the config, such as `sources.lake.s3`.
    pub(super) options: &'a str,
    /// True if the config has credentials for the store.
    pub(super) has_credentials: bool,
    /// True if the config demands requests without credentials.
    pub(super) anonymous: bool,
    /// True if the config permits requests without TLS.
    pub(super) allow_http: bool,
    /// The endpoint in the config.
    pub(super) endpoint: Option<&'a str>,
    /// The endpoint in the environment.
    pub(super) environment: Option<&'a str>,
    /// The endpoint in the contract.
    pub(super) contract: Option<&'a str>,
    /// The bucket in the contract.
    pub(super) bucket: &'a str,
    /// The buckets in the config.
    pub(super) buckets: &'a [String],
    /// The option with these buckets.
    pub(super) buckets_option: &'a str,
}

impl<'a> StoreAccess<'a> {
    /// Returns what the config says about S3. The other fields are empty.
    pub(super) fn of_s3(options: &'a S3Options) -> Self {
        Self {
            has_credentials: options.has_credentials(),
            anonymous: options.anonymous,
            allow_http: options.allow_http,
            endpoint: options.endpoint.as_deref(),
            buckets: &options.buckets,
            buckets_option: "buckets",
            ..Self::default()
        }
    }

    /// Returns what the config says about Google Cloud Storage. The other fields are empty.
    pub(super) fn of_gcs(options: &'a GcsOptions) -> Self {
        Self {
            has_credentials: options.has_credentials(),
            anonymous: options.anonymous,
            allow_http: options.allow_http,
            endpoint: options.endpoint.as_deref(),
            buckets: &options.buckets,
            buckets_option: "buckets",
            ..Self::default()
        }
    }

    /// Returns what the config says about Azure. The other fields are empty.
    pub(super) fn of_azure(options: &'a AzureOptions) -> Self {
        Self {
            has_credentials: options.has_credentials(),
            anonymous: options.anonymous,
            allow_http: options.allow_http,
            endpoint: options.endpoint.as_deref(),
            buckets: &options.containers,
            buckets_option: "containers",
            ..Self::default()
        }
    }

    /// Decides.
    ///
    /// # Errors
    /// The reason why the store is not read, and the setting that would permit it.
    pub(super) fn decide(&self) -> Result<GrantedAccess, String> {
        let access = match (self.endpoint, self.contract) {
            (Some(endpoint), _) => self.at_endpoint_of_config(endpoint)?,
            (None, Some(endpoint)) => self.at_endpoint_of_contract(endpoint)?,
            (None, None) => GrantedAccess { credentials: self.credentials(), endpoint: None, reach: None },
        };
        self.check_bucket(access.credentials)?;
        Ok(access)
    }

    fn credentials(&self) -> CredentialOrigin {
        match (self.anonymous, self.has_credentials) {
            (true, _) => CredentialOrigin::Nobody,
            (false, true) => CredentialOrigin::Config,
            (false, false) => CredentialOrigin::Environment,
        }
    }

    fn at_endpoint_of_config(&self, endpoint: &str) -> Result<GrantedAccess, String> {
        let options = self.options;
        // The endpoint may repeat a secret, so no message repeats the endpoint.
        let url = endpoint_url(endpoint).map_err(|what| format!("`{options}.endpoint`: {what}"))?;
        if url.scheme() == "http" && !self.allow_http {
            return Err(format!(
                "`{options}.endpoint` is not encrypted: use `https://`, or set `{options}.allow_http`"
            ));
        }
        let credentials = self.credentials();
        if credentials == CredentialOrigin::Environment && !self.is_of_environment(&url) {
            return Err(format!(
                "the credentials of the environment do not go to `{options}.endpoint`: give credentials beside it, such \
                 as `{{env: NAME}}`, or set `{options}.anonymous`"
            ));
        }
        let endpoint = (credentials != CredentialOrigin::Environment).then(|| endpoint.to_owned());
        Ok(GrantedAccess { credentials, endpoint, reach: None })
    }

    fn at_endpoint_of_contract(&self, endpoint: &str) -> Result<GrantedAccess, String> {
        let options = self.options;
        let url = endpoint_url(endpoint).map_err(|what| format!("the endpoint: {what}"))?;
        let credentials = self.credentials();
        if credentials == CredentialOrigin::Config {
            return Err(format!(
                "the credentials of the node's config do not go to the endpoint of a contract: name the endpoint in \
                 `{options}.endpoint`"
            ));
        }
        if credentials == CredentialOrigin::Environment && self.is_of_environment(&url) {
            return Ok(GrantedAccess { credentials, endpoint: None, reach: None });
        }
        let (allow_http, options) = (self.allow_http, options.to_owned());
        let reach = UrlReach { hosts: vec![], allow_http, options, permitting: "endpoint" };
        reach.check(&url).map_err(|what| format!("the endpoint: {what}"))?;
        // As it was parsed: another parser could find another host in the text.
        let endpoint = Some(url.as_str().trim_end_matches('/').to_owned());
        Ok(GrantedAccess { credentials: CredentialOrigin::Nobody, endpoint, reach: Some(reach) })
    }

    fn is_of_environment(&self, url: &Url) -> bool {
        let environment = self.environment.and_then(|endpoint| Url::parse(endpoint).ok());
        environment.is_some_and(|environment| environment.origin() == url.origin())
    }

    fn check_bucket(&self, credentials: CredentialOrigin) -> Result<(), String> {
        let is_named = self.buckets.iter().any(|bucket| bucket == self.bucket || bucket == EVERY_BUCKET);
        let is_bound = match credentials {
            CredentialOrigin::Config => true,
            CredentialOrigin::Environment => !self.buckets.is_empty(),
            CredentialOrigin::Nobody => false,
        };
        if is_named || !is_bound {
            return Ok(());
        }
        let (bucket, options, option) = (self.bucket, self.options, self.buckets_option);
        Err(format!(
            "the node's credentials are not for `{bucket}`: add it to `{options}.{option}` in the node's config"
        ))
    }
}

/// Parses an endpoint.
fn endpoint_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|e| format!("expected a URL: {e}"))?;
    let is_plain = matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.fragment().is_none();
    match is_plain && url.has_host() && url.username().is_empty() && url.password().is_none() {
        true => Ok(url),
        false => Err("expected `https://`, a host and perhaps a path".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const MINIO: &str = "https://minio.example.org:9000";

    fn plain() -> StoreAccess<'static> {
        StoreAccess {
            options: "sources.lake.s3",
            has_credentials: false,
            anonymous: false,
            allow_http: false,
            endpoint: None,
            environment: None,
            contract: None,
            bucket: "lake",
            buckets: &[],
            buckets_option: "buckets",
        }
    }

    fn credentials(store: StoreAccess<'_>) -> CredentialOrigin {
        store.decide().unwrap().credentials
    }

    #[test]
    fn the_environment_gives_credentials_to_the_provider_and_to_its_own_endpoint() {
        assert_eq!(credentials(plain()), CredentialOrigin::Environment);
        let environment = Some("https://minio.example.org:9000/path");
        for (endpoint, contract) in [(None, Some(MINIO)), (Some(MINIO), None), (Some(MINIO), Some("https://other"))] {
            let access = StoreAccess { environment, endpoint, contract, ..plain() }.decide().unwrap();
            let expected = GrantedAccess { credentials: CredentialOrigin::Environment, endpoint: None, reach: None };
            assert_eq!(access, expected, "{endpoint:?} {contract:?}");
        }
        let refused = StoreAccess { endpoint: Some(MINIO), ..plain() }.decide().unwrap_err();
        assert!(refused.contains("`sources.lake.s3.endpoint`"), "{refused}");
        for other in [None, Some("https://minio.example.org"), Some("http://minio.example.org:9000"), Some("x")] {
            let access = StoreAccess { environment: other, contract: Some(MINIO), ..plain() }.decide().unwrap();
            assert_eq!((access.credentials, access.endpoint.as_deref()), (CredentialOrigin::Nobody, Some(MINIO)));
            assert!(access.reach.is_some(), "{other:?}");
        }
    }

    #[test]
    fn the_config_gives_credentials_to_the_endpoint_and_the_buckets_that_it_names() {
        let buckets = ["lake".to_owned()];
        let own = StoreAccess { has_credentials: true, buckets: &buckets, ..plain() };
        assert_eq!(credentials(own), CredentialOrigin::Config);
        let access = StoreAccess { endpoint: Some(MINIO), contract: Some("https://evil.example"), ..own }.decide();
        assert_eq!(access.unwrap().endpoint.as_deref(), Some(MINIO));
        let refused = StoreAccess { contract: Some(MINIO), ..own }.decide().unwrap_err();
        assert!(refused.contains("`sources.lake.s3.endpoint`"), "{refused}");
        for buckets in [vec![], vec!["pond".to_owned()]] {
            let refused = StoreAccess { buckets: &buckets, ..own }.decide().unwrap_err();
            assert!(refused.contains("`lake`") && refused.contains("`sources.lake.s3.buckets`"), "{refused}");
        }
        assert_eq!(credentials(StoreAccess { buckets: &["*".to_owned()], ..own }), CredentialOrigin::Config);
        // Buckets bind the environment's credentials, too.
        let refused = StoreAccess { buckets: &["pond".to_owned()], ..plain() }.decide().unwrap_err();
        assert!(refused.contains("`sources.lake.s3.buckets`"), "{refused}");
        assert_eq!(credentials(StoreAccess { anonymous: true, buckets: &[], ..own }), CredentialOrigin::Nobody);
    }

    #[test]
    fn the_endpoint_of_a_contract_is_public_and_encrypted_and_gets_nothing() {
        for (endpoint, says) in [
            ("http://minio.example.org", "`sources.lake.s3.allow_http`"),
            ("https://127.0.0.1:9000", "`sources.lake.s3.endpoint`"),
            ("https://169.254.169.254/latest", "`sources.lake.s3.endpoint`"),
            ("https://me:secret@minio.example.org", "expected `https://`"),
            ("https://minio.example.org#", "expected `https://`"),
            ("minio.example.org", "expected"),
            ("file:///etc/passwd", "expected `https://`"),
        ] {
            let refused = StoreAccess { contract: Some(endpoint), ..plain() }.decide().unwrap_err();
            assert!(refused.contains(says) && !refused.contains("secret@"), "{endpoint}: {refused}");
        }
        let backslash = StoreAccess { contract: Some("https://a.example\\@b.example"), ..plain() }.decide().unwrap();
        assert_eq!(backslash.endpoint.as_deref(), Some("https://a.example/@b.example"));
    }

    #[test]
    fn the_endpoint_of_the_config_needs_tls_or_the_setting() {
        let store = StoreAccess { anonymous: true, endpoint: Some("http://127.0.0.1:9000/hunter2"), ..plain() };
        let refused = store.decide().unwrap_err();
        assert!(refused.contains("`sources.lake.s3.allow_http`") && !refused.contains("hunter2"), "{refused}");
        StoreAccess { allow_http: true, ..store }.decide().unwrap();
    }
}
