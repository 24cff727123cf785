//! Web servers, whose files are read one by one.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use object_store::http::HttpBuilder;
use object_store::{ClientOptions, HeaderMap, HeaderValue, ObjectStore};
use url::Url;

use super::{Build, retry, timeouts, unusable};
use crate::files::guarded_client::StoreConnector;
use crate::files::reach::UrlReach;
use crate::source_options::HttpOptions;

impl Build<'_> {
    pub(super) fn http(&mut self, origin: &str, options: &HttpOptions) -> Result<Arc<dyn ObjectStore>, String> {
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
        Ok(Arc::new(builder.build().map_err(|e| unusable(&e))?))
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
}
