//! Object stores for the locations in contracts: one for each server and bucket. Two servers never share a store.
//! Retries are bounded. Network traffic runs on the runtime that opened the store. `access` decides which credentials a
//! store gets.

mod azure;
mod gcs;
mod http;
mod s3;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnv;
use object_store::{ClientConfigKey, ObjectStore, RetryConfig};
use url::Url;

use super::access::{GrantedAccess, StoreAccess};
use super::guarded_client::{CONNECT_TIMEOUT, REQUEST_TIMEOUT, StoreConnector};
use super::location::{Location, StoreAddress};
use super::origin::Redaction;
use super::reach::UrlReach;
use super::scoped_store::ScopedStore;
use crate::secret::Secret;
use crate::source_options::SourceOptions;

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

    /// Returns the place of a store's options in the config.
    fn options(&self, store: &str) -> String {
        format!("sources.{}.{store}", self.server)
    }

    /// Returns the access to a bucket. `store` is the key of the store's options, `config` is what the options say, and
    /// `environment` is the endpoint in the environment.
    fn access(
        &self,
        store: &str,
        config: StoreAccess<'_>,
        environment: Option<&str>,
        bucket: &str,
    ) -> Result<GrantedAccess, String> {
        let options = self.options(store);
        StoreAccess { options: &options, environment, contract: self.endpoint, bucket, ..config }.decide()
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

fn unusable(error: &object_store::Error) -> String {
    format!("the store cannot be used: {error}")
}
