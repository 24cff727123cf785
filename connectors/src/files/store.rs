//! Object stores for the locations in contracts: one for each server and bucket. Two servers never share a store.
//! Retries are bounded. Network traffic runs on the runtime that opened the store. `access` decides which credentials a
//! store gets.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnv;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::http::HttpBuilder;
use object_store::{ClientConfigKey, ClientOptions, HeaderMap, HeaderValue, ObjectStore, RetryConfig};
use url::Url;

use super::access::{CredentialOrigin, GrantedAccess, StoreAccess};
use super::guarded_client::{CONNECT_TIMEOUT, REQUEST_TIMEOUT, StoreConnector};
use super::location::{Location, StoreAddress};
use super::options::{AzureOptions, GcsOptions, HttpOptions, S3Options, Secret, SourceOptions};
use super::origin::Redaction;
use super::reach::UrlReach;
use super::scoped_store::ScopedStore;

const RETRIES: usize = 3;
const RETRY_TIMEOUT: Duration = Duration::from_secs(30);

/// A store that is registered with a runtime.
#[derive(Debug)]
pub(super) struct Registered {
    /// The URL of the store in the runtime.
    pub(super) url: ObjectStoreUrl,
    /// The store.
    pub(super) store: Arc<dyn ObjectStore>,
    /// The location, with the paths of the store.
    pub(super) location: Location,
    /// The strings that no error may repeat.
    pub(super) secrets: Secrets,
}

/// The secrets of a store.
#[derive(Default)]
pub(super) struct Secrets(pub(super) Vec<String>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

/// Creates the store at a location of the contract's `server`, and registers the store with `runtime`. Replaces an
/// earlier store of the same server.
///
/// DataFusion identifies a store by scheme and host. DataFusion's caches identify a file by path only. The host and the
/// paths therefore begin with the server's name and a digest of the address. Two servers with a bucket of the same name
/// do not share a store or cached files.
///
/// # Errors
/// The fault of the options, or the reason why the store must not be reached, as text for a diagnostic at the source's
/// place.
pub(super) async fn register(
    server: &str,
    endpoint: Option<&str>,
    location: Location,
    options: &SourceOptions,
    runtime: &Arc<RuntimeEnv>,
) -> Result<Registered, String> {
    if location.store == StoreAddress::Local {
        let url = ObjectStoreUrl::local_filesystem();
        let store = runtime.object_store(&url).map_err(|e| format!("the local file system is not to be read: {e}"))?;
        return Ok(Registered { url, store, location, secrets: Secrets::default() });
    }
    let scope = scope(server, endpoint, &location.store);
    let url =
        ObjectStoreUrl::parse(format!("portolan://{scope}")).map_err(|e| format!("the store has no name: {e}"))?;
    let mut build = Build { server, endpoint, secrets: Secrets::default(), contract_url: None };
    let built = build.store(&location.store, options);
    let Build { secrets, contract_url, .. } = build;
    // A builder's error may repeat its input.
    let clean = |text: String| Redaction(secrets.0.clone()).clean(&text);
    let built = built.map_err(clean)?;
    if let Some((reach, url)) = contract_url {
        reach.check_addresses(&url).await?;
    }
    let store: Arc<dyn ObjectStore> = Arc::new(ScopedStore::new(built, &scope, !options.writers.is_empty()));
    runtime.register_object_store(url.as_ref(), store.clone());
    Ok(Registered { url, store, location: location.within(&scope), secrets })
}

/// Returns a name that no other server has, and that can be the host of a URL.
fn scope(server: &str, endpoint: Option<&str>, address: &StoreAddress) -> String {
    let mut hasher = DefaultHasher::new();
    (server, address, endpoint).hash(&mut hasher);
    let letters = server.chars().map(|c| c.to_ascii_lowercase());
    let slug: String = letters.map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(32).collect();
    format!("{slug}-{:016x}", hasher.finish())
}

/// Builds a store, and collects the secrets that it uses.
struct Build<'a> {
    server: &'a str,
    /// The endpoint in the contract.
    endpoint: Option<&'a str>,
    secrets: Secrets,
    /// The URL of the store and the servers that may be reached, if the URL is the contract's.
    contract_url: Option<(UrlReach, Url)>,
}

impl Build<'_> {
    fn store(&mut self, address: &StoreAddress, options: &SourceOptions) -> Result<Arc<dyn ObjectStore>, String> {
        match address {
            StoreAddress::Local => Err("the local file system is no remote store".to_owned()),
            StoreAddress::S3 { bucket } => self.s3(bucket, &options.s3),
            StoreAddress::Gcs { bucket } => self.gcs(bucket, &options.gcs),
            StoreAddress::Azure { account, container } => self.azure(account.as_deref(), container, &options.azure),
            StoreAddress::Http { origin } => self.http(origin, &options.http),
        }
    }

    fn s3(&mut self, bucket: &str, options: &S3Options) -> Result<Arc<dyn ObjectStore>, String> {
        let mut builder = AmazonS3Builder::from_env();
        let own = |key| builder.get_config_value(&key);
        let environment = own(AmazonS3ConfigKey::S3Endpoint).or_else(|| own(AmazonS3ConfigKey::Endpoint));
        let access = StoreAccess {
            options: &self.options("s3"),
            has_credentials: options.has_credentials(),
            anonymous: options.anonymous,
            allow_http: options.allow_http,
            endpoint: options.endpoint.as_deref(),
            environment: environment.as_deref(),
            contract: self.endpoint,
            bucket,
            buckets: &options.buckets,
            buckets_option: "buckets",
        };
        let access = access.decide()?;
        if access.credentials != CredentialOrigin::Environment {
            // Nothing of the environment is mixed with the config, such as a session token.
            builder = AmazonS3Builder::new();
        }
        builder = builder
            .with_bucket_name(bucket)
            .with_virtual_hosted_style_request(options.virtual_hosted_style)
            .with_skip_signature(access.credentials == CredentialOrigin::Nobody)
            .with_retry(retry())
            .with_http_connector(self.connector(&access)?);
        for (key, value) in timeouts() {
            builder = builder.with_config(AmazonS3ConfigKey::Client(key), value);
        }
        if options.allow_http {
            builder = builder.with_allow_http(true);
        }
        if let Some(endpoint) = access.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        if let Some(region) = &options.region {
            builder = builder.with_region(region);
        }
        if access.credentials == CredentialOrigin::Config {
            let (id, key) = (self.reveal(options.access_key_id.as_ref())?, self.secret_key(options)?);
            let id = id.ok_or_else(|| format!("`{}` needs `access_key_id`", self.options("s3")))?;
            builder = builder.with_access_key_id(id).with_secret_access_key(key);
            if let Some(token) = self.reveal(options.session_token.as_ref())? {
                builder = builder.with_token(token);
            }
        }
        Ok(Arc::new(builder.build().map_err(|e| told(&e))?))
    }

    /// Returns the secret access key. Without it, the builder would use the credentials of the machine.
    fn secret_key(&mut self, options: &S3Options) -> Result<String, String> {
        let key = self.reveal(options.secret_access_key.as_ref())?;
        key.ok_or_else(|| format!("`{}` needs `secret_access_key`", self.options("s3")))
    }

    fn gcs(&mut self, bucket: &str, options: &GcsOptions) -> Result<Arc<dyn ObjectStore>, String> {
        let mut builder = GoogleCloudStorageBuilder::from_env();
        let environment = builder.get_config_value(&GoogleConfigKey::BaseUrl);
        let access = StoreAccess {
            options: &self.options("gcs"),
            has_credentials: options.has_credentials(),
            anonymous: options.anonymous,
            allow_http: options.allow_http,
            endpoint: options.endpoint.as_deref(),
            environment: environment.as_deref(),
            contract: self.endpoint,
            bucket,
            buckets: &options.buckets,
            buckets_option: "buckets",
        };
        let access = access.decide()?;
        if access.credentials != CredentialOrigin::Environment {
            builder = GoogleCloudStorageBuilder::new();
        }
        builder = builder
            .with_bucket_name(bucket)
            .with_skip_signature(access.credentials == CredentialOrigin::Nobody)
            .with_retry(retry())
            .with_http_connector(self.connector(&access)?);
        for (key, value) in timeouts() {
            builder = builder.with_config(GoogleConfigKey::Client(key), value);
        }
        if options.allow_http {
            builder = builder.with_config(GoogleConfigKey::Client(ClientConfigKey::AllowHttp), "true");
        }
        if let Some(endpoint) = &access.endpoint {
            builder = builder.with_base_url(endpoint);
        }
        if access.credentials == CredentialOrigin::Config {
            if let Some(path) = &options.service_account_path {
                builder = builder.with_service_account_path(path.to_string_lossy());
            }
            if let Some(key) = self.reveal(options.service_account_key.as_ref())? {
                builder = builder.with_service_account_key(key);
            }
        }
        Ok(Arc::new(builder.build().map_err(|e| told(&e))?))
    }

    fn azure(
        &mut self,
        account: Option<&str>,
        container: &str,
        options: &AzureOptions,
    ) -> Result<Arc<dyn ObjectStore>, String> {
        let mut builder = MicrosoftAzureBuilder::from_env();
        let environment = builder.get_config_value(&AzureConfigKey::Endpoint);
        let access = StoreAccess {
            options: &self.options("azure"),
            has_credentials: options.has_credentials(),
            anonymous: options.anonymous,
            allow_http: options.allow_http,
            endpoint: options.endpoint.as_deref(),
            environment: environment.as_deref(),
            contract: self.endpoint,
            bucket: container,
            buckets: &options.containers,
            buckets_option: "containers",
        };
        let access = access.decide()?;
        if access.credentials != CredentialOrigin::Environment {
            builder = MicrosoftAzureBuilder::new();
        }
        builder = builder
            .with_container_name(container)
            .with_skip_signature(access.credentials == CredentialOrigin::Nobody)
            .with_retry(retry())
            .with_http_connector(self.connector(&access)?);
        for (key, value) in timeouts() {
            builder = builder.with_config(AzureConfigKey::Client(key), value);
        }
        if options.allow_http {
            builder = builder.with_allow_http(true);
        }
        if let Some(account) = self.account(account, options, access.credentials)? {
            builder = builder.with_account(account);
        }
        if let Some(endpoint) = access.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        if access.credentials == CredentialOrigin::Config {
            if let Some(key) = self.reveal(options.access_key.as_ref())? {
                builder = builder.with_access_key(key);
            }
            if let Some(token) = self.reveal(options.sas_token.as_ref())? {
                builder = builder.with_config(AzureConfigKey::SasKey, token);
            }
            if let Some(token) = self.reveal(options.bearer_token.as_ref())? {
                builder = builder.with_bearer_token_authorization(token);
            }
        }
        Ok(Arc::new(builder.build().map_err(|e| told(&e))?))
    }

    /// Returns the storage account, which decides the host.
    fn account<'a>(
        &self,
        account: Option<&'a str>,
        options: &'a AzureOptions,
        credentials: CredentialOrigin,
    ) -> Result<Option<&'a str>, String> {
        let own = options.account.as_deref();
        match account {
            Some(account) if credentials == CredentialOrigin::Config && own != Some(account) => Err(format!(
                "the node's credentials are not for the account `{account}`: name it in `{}.account` in the node's config",
                self.options("azure")
            )),
            account => Ok(account.or(own)),
        }
    }

    fn http(&mut self, origin: &str, options: &HttpOptions) -> Result<Arc<dyn ObjectStore>, String> {
        let reach = UrlReach {
            hosts: options.hosts.clone(),
            allow_http: options.allow_http,
            options: self.options("http"),
            permitting: "hosts",
        };
        let url = Url::parse(origin).map_err(|e| format!("the location is not a URL: {e}"))?;
        reach.check(&url)?;
        if options.has_credentials() && options.hosts.is_empty() {
            let option = format!("{}.hosts", reach.options);
            return Err(format!("the node's credentials go only to hosts that `{option}` names, and there are none"));
        }
        let mut client = ClientOptions::new().with_allow_http(options.allow_http);
        for (key, value) in timeouts() {
            client = client.with_config(key, value);
        }
        if let Some(authorization) = self.authorization(options)? {
            let mut value = HeaderValue::from_str(&authorization).map_err(|_| {
                "the credentials for the web server hold characters that HTTP does not allow".to_owned()
            })?;
            value.set_sensitive(true);
            let mut headers = HeaderMap::new();
            headers.insert("authorization", value);
            client = client.with_default_headers(headers);
        }
        let builder = HttpBuilder::new()
            .with_url(origin)
            .with_client_options(client)
            .with_retry(retry())
            .with_http_connector(StoreConnector::new(Some(reach.clone()))?);
        self.contract_url = Some((reach, url));
        Ok(Arc::new(builder.build().map_err(|e| told(&e))?))
    }

    fn authorization(&mut self, options: &HttpOptions) -> Result<Option<String>, String> {
        let password = self.reveal(options.password.as_ref())?;
        Ok(match (self.reveal(options.bearer_token.as_ref())?, &options.username) {
            (Some(token), _) => Some(format!("Bearer {token}")),
            (None, Some(user)) => {
                let encoded = BASE64_STANDARD.encode(format!("{user}:{}", password.unwrap_or_default()));
                self.secrets.0.push(encoded.clone());
                Some(format!("Basic {encoded}"))
            }
            (None, None) => None,
        })
    }

    /// Returns the place of a store's options in the config.
    fn options(&self, store: &str) -> String {
        format!("sources.{}.{store}", self.server)
    }

    /// Returns the connector of a store, and keeps the URL that must be checked before the store is used.
    fn connector(&mut self, access: &GrantedAccess) -> Result<StoreConnector, String> {
        if let (Some(reach), Some(endpoint)) = (&access.reach, &access.endpoint) {
            let url = Url::parse(endpoint).map_err(|e| format!("the endpoint is not a URL: {e}"))?;
            self.contract_url = Some((reach.clone(), url));
        }
        StoreConnector::new(access.reach.clone())
    }

    /// Returns the string of a secret, and keeps it for redaction.
    fn reveal(&mut self, secret: Option<&Secret>) -> Result<Option<String>, String> {
        let revealed = secret.map(Secret::reveal).transpose()?;
        self.secrets.0.extend(revealed.clone());
        Ok(revealed)
    }
}

fn retry() -> RetryConfig {
    RetryConfig { max_retries: RETRIES, retry_timeout: RETRY_TIMEOUT, ..RetryConfig::default() }
}

fn timeouts() -> [(ClientConfigKey, String); 2] {
    let seconds = |time: Duration| format!("{} seconds", time.as_secs());
    [(ClientConfigKey::Timeout, seconds(REQUEST_TIMEOUT)), (ClientConfigKey::ConnectTimeout, seconds(CONNECT_TIMEOUT))]
}

fn told(error: &object_store::Error) -> String {
    format!("the store cannot be used: {error}")
}
