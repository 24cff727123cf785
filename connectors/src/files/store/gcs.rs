//! Stores at Google Cloud Storage.

use std::sync::Arc;

use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::{ClientConfigKey, ObjectStore};

use super::{Build, retry, timeouts, unusable};
use crate::files::access::{CredentialOrigin, StoreAccess};
use crate::source_options::GcsOptions;

impl Build<'_> {
    pub(super) fn gcs(&mut self, bucket: &str, options: &GcsOptions) -> Result<Arc<dyn ObjectStore>, String> {
        let mut builder = GoogleCloudStorageBuilder::from_env();
        let environment = builder.get_config_value(&GoogleConfigKey::BaseUrl);
        let access = self.access("gcs", StoreAccess::of_gcs(options), environment.as_deref(), bucket)?;
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
        Ok(Arc::new(builder.build().map_err(|e| unusable(&e))?))
    }
}
