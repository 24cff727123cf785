//! Stores at Amazon S3, or at a server with the same protocol.

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};

use super::{Build, retry, timeouts, unusable};
use crate::files::access::{CredentialOrigin, StoreAccess};
use crate::source_options::S3Options;

impl Build<'_> {
    pub(super) fn s3(&mut self, bucket: &str, options: &S3Options) -> Result<Arc<dyn ObjectStore>, String> {
        let mut builder = AmazonS3Builder::from_env();
        let own = |key| builder.get_config_value(&key);
        let environment = own(AmazonS3ConfigKey::S3Endpoint).or_else(|| own(AmazonS3ConfigKey::Endpoint));
        let access = self.access("s3", StoreAccess::of_s3(options), environment.as_deref(), bucket)?;
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
        Ok(Arc::new(builder.build().map_err(|e| unusable(&e))?))
    }

    /// Returns the secret access key. Without it, the builder would use the credentials of the machine.
    fn secret_key(&mut self, options: &S3Options) -> Result<String, String> {
        let key = self.reveal(options.secret_access_key.as_ref())?;
        key.ok_or_else(|| format!("`{}` needs `secret_access_key`", self.options("s3")))
    }
}
