//! Object stores for the locations in contracts: one for each server and bucket. Two servers never share a store.
//! Retries are bounded. Network traffic runs on the runtime that opened the store.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnv;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::client::SpawnedReqwestConnector;
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::http::HttpBuilder;
use object_store::{ClientConfigKey, ClientOptions, HeaderMap, HeaderValue, ObjectStore, RetryConfig};
use tokio::runtime::Handle;

use super::location::{Location, StoreAddress};
use super::options::{AzureOptions, GcsOptions, HttpOptions, S3Options, Secret, SourceOptions};
use super::scoped_store::ScopedStore;

/// The time limit of one request, with its body. Bodies are read in pieces, so a large file takes several requests.
const REQUEST_TIMEOUT: &str = "30 seconds";
const CONNECT_TIMEOUT: &str = "5 seconds";
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
/// The fault of the options, as text for a diagnostic at the source's place.
pub(super) fn register(
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
    let mut build = Build { endpoint, secrets: Secrets::default() };
    let built = build.store(&location.store, options);
    let secrets = build.secrets;
    // A builder's error may repeat its input.
    let clean = |text: String| super::error_context::Redaction(secrets.0.clone()).clean(&text);
    let store: Arc<dyn ObjectStore> =
        Arc::new(ScopedStore::new(built.map_err(clean)?, &scope, !options.writers.is_empty()));
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
    endpoint: Option<&'a str>,
    secrets: Secrets,
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
        // Keys from the config must not be mixed with others from the environment, such as a session token.
        let own = options.access_key_id.is_some() || options.secret_access_key.is_some() || options.anonymous;
        let mut builder = if own { AmazonS3Builder::new() } else { AmazonS3Builder::from_env() };
        builder = builder
            .with_bucket_name(bucket)
            .with_virtual_hosted_style_request(options.virtual_hosted_style)
            .with_skip_signature(options.anonymous)
            .with_retry(retry())
            .with_http_connector(connector()?);
        for (key, value) in timeouts() {
            builder = builder.with_config(AmazonS3ConfigKey::Client(key), value);
        }
        if options.allow_http {
            builder = builder.with_allow_http(true);
        }
        if let Some(endpoint) = options.endpoint.as_deref().or(self.endpoint) {
            builder = builder.with_endpoint(endpoint);
        }
        if let Some(region) = &options.region {
            builder = builder.with_region(region);
        }
        if let Some(id) = self.reveal(options.access_key_id.as_ref())? {
            builder = builder.with_access_key_id(id);
        }
        if let Some(key) = self.reveal(options.secret_access_key.as_ref())? {
            builder = builder.with_secret_access_key(key);
        }
        if let Some(token) = self.reveal(options.session_token.as_ref())? {
            builder = builder.with_token(token);
        }
        Ok(Arc::new(builder.build().map_err(|e| told(&e))?))
    }

    fn gcs(&mut self, bucket: &str, options: &GcsOptions) -> Result<Arc<dyn ObjectStore>, String> {
        let own = options.service_account_key.is_some() || options.service_account_path.is_some() || options.anonymous;
        let mut builder = if own { GoogleCloudStorageBuilder::new() } else { GoogleCloudStorageBuilder::from_env() };
        builder = builder
            .with_bucket_name(bucket)
            .with_skip_signature(options.anonymous)
            .with_retry(retry())
            .with_http_connector(connector()?);
        for (key, value) in timeouts() {
            builder = builder.with_config(GoogleConfigKey::Client(key), value);
        }
        if options.allow_http {
            builder = builder.with_config(GoogleConfigKey::Client(ClientConfigKey::AllowHttp), "true");
        }
        if let Some(endpoint) = options.endpoint.as_deref().or(self.endpoint) {
            builder = builder.with_base_url(endpoint);
        }
        if let Some(path) = &options.service_account_path {
            builder = builder.with_service_account_path(path.to_string_lossy());
        }
        if let Some(key) = self.reveal(options.service_account_key.as_ref())? {
            builder = builder.with_service_account_key(key);
        }
        Ok(Arc::new(builder.build().map_err(|e| told(&e))?))
    }

    fn azure(
        &mut self,
        account: Option<&str>,
        container: &str,
        options: &AzureOptions,
    ) -> Result<Arc<dyn ObjectStore>, String> {
        let own = options.access_key.is_some()
            || options.sas_token.is_some()
            || options.bearer_token.is_some()
            || options.anonymous;
        let mut builder = if own { MicrosoftAzureBuilder::new() } else { MicrosoftAzureBuilder::from_env() };
        builder = builder
            .with_container_name(container)
            .with_skip_signature(options.anonymous)
            .with_retry(retry())
            .with_http_connector(connector()?);
        for (key, value) in timeouts() {
            builder = builder.with_config(AzureConfigKey::Client(key), value);
        }
        if options.allow_http {
            builder = builder.with_allow_http(true);
        }
        if let Some(account) = account.or(options.account.as_deref()) {
            builder = builder.with_account(account);
        }
        if let Some(endpoint) = options.endpoint.as_deref().or(self.endpoint) {
            builder = builder.with_endpoint(endpoint.to_owned());
        }
        if let Some(key) = self.reveal(options.access_key.as_ref())? {
            builder = builder.with_access_key(key);
        }
        if let Some(token) = self.reveal(options.sas_token.as_ref())? {
            builder = builder.with_config(AzureConfigKey::SasKey, token);
        }
        if let Some(token) = self.reveal(options.bearer_token.as_ref())? {
            builder = builder.with_bearer_token_authorization(token);
        }
        Ok(Arc::new(builder.build().map_err(|e| told(&e))?))
    }

    fn http(&mut self, origin: &str, options: &HttpOptions) -> Result<Arc<dyn ObjectStore>, String> {
        let mut client = ClientOptions::new().with_allow_http(true);
        for (key, value) in timeouts() {
            client = client.with_config(key, value);
        }
        let password = self.reveal(options.password.as_ref())?;
        let authorization = match (self.reveal(options.bearer_token.as_ref())?, &options.username) {
            (Some(token), _) => Some(format!("Bearer {token}")),
            (None, Some(user)) => {
                let encoded = BASE64_STANDARD.encode(format!("{user}:{}", password.unwrap_or_default()));
                self.secrets.0.push(encoded.clone());
                Some(format!("Basic {encoded}"))
            }
            (None, None) => None,
        };
        if let Some(authorization) = authorization {
            if !origin.starts_with("https://") && !options.allow_http {
                return Err(
                    "credentials would go to a web server without TLS: use https://, or set `allow_http`".into()
                );
            }
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
            .with_http_connector(connector()?);
        Ok(Arc::new(builder.build().map_err(|e| told(&e))?))
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

fn timeouts() -> [(ClientConfigKey, &'static str); 2] {
    [(ClientConfigKey::Timeout, REQUEST_TIMEOUT), (ClientConfigKey::ConnectTimeout, CONNECT_TIMEOUT)]
}

/// Returns a connector that sends requests on the current runtime. Plans run on the CPU runtime, and requests must not
/// wait for its work.
fn connector() -> Result<SpawnedReqwestConnector, String> {
    let handle =
        Handle::try_current().map_err(|_| "a remote source can only be opened on a tokio runtime".to_owned())?;
    Ok(SpawnedReqwestConnector::new(handle))
}

fn told(error: &object_store::Error) -> String {
    format!("the store cannot be used: {error}")
}
