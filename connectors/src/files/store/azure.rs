//! Stores at Azure Blob Storage.

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};

use super::{Build, retry, timeouts, unusable};
use crate::files::access::{CredentialOrigin, StoreAccess};
use crate::source_options::AzureOptions;

impl Build<'_> {
    pub(super) fn azure(
        &mut self,
        account: Option<&str>,
        container: &str,
        options: &AzureOptions,
    ) -> Result<Arc<dyn ObjectStore>, String> {
        let mut builder = MicrosoftAzureBuilder::from_env();
        let environment = builder.get_config_value(&AzureConfigKey::Endpoint);
        let access = self.access("azure", StoreAccess::of_azure(options), environment.as_deref(), container)?;
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
        Ok(Arc::new(builder.build().map_err(|e| unusable(&e))?))
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
}
