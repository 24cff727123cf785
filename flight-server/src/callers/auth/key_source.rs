//! Reads an issuer's keys, from a file or by HTTP: bounded in time and size, and from no host but the given one.

use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use portolan_connectors::lock;
use portolan_connectors::node::is_exposed;
use portolan_engine::{Error, ErrorKind, Result};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url};
use tokio::io::AsyncReadExt;
use tokio::sync::OnceCell;

use crate::failure::invalid;
use crate::options::KeySource;

/// The timeout of a request for a key set.
const TIME: Duration = Duration::from_secs(5);
/// The largest size of a key set, in bytes.
const MAX_BYTES: usize = 1 << 20;
/// The largest number of redirects.
const MAX_REDIRECTS: usize = 3;

pub(super) struct Fetcher {
    source: KeySource,
    client: OnceCell<Client>,
    /// The version of the file when the node last read it.
    seen: Mutex<Option<Version>>,
}

type Version = (Option<SystemTime>, u64);

/// The text of a key set, and the place that it comes from.
pub(super) struct Fetched {
    pub(super) text: String,
    pub(super) place: String,
}

impl KeySource {
    /// Returns the source for a URL.
    ///
    /// # Errors
    /// `InvalidQuery` if `text` is not an `https://` URL. `http://` is accepted on loopback only.
    pub fn url(text: &str) -> Result<Self> {
        let url = Url::parse(text).map_err(|e| invalid(format!("`{text}` is not a URL")).with_source(e))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid("the URL of a key set must not contain a user or a password"));
        }
        let is_safe = match url.scheme() {
            "https" => url.has_host(),
            "http" => !is_exposed(url.as_str()),
            _ => false,
        };
        if !is_safe {
            return Err(invalid(format!(
                "expected an `https://` URL, got `{text}` (`http://` is accepted on loopback only)"
            )));
        }
        Ok(Self::Url(url.into()))
    }
}

impl Fetcher {
    pub(super) fn new(source: KeySource) -> Self {
        Self { source, client: OnceCell::new(), seen: Mutex::default() }
    }

    pub(super) fn is_file(&self) -> bool {
        matches!(self.source, KeySource::File(_))
    }

    /// True if a file has changed since the node last read it. Always false for a URL.
    pub(super) async fn has_changed(&self) -> bool {
        match &self.source {
            KeySource::File(path) => version(path).await.is_some_and(|now| Some(now) != *self.seen()),
            KeySource::Url(_) => false,
        }
    }

    pub(super) async fn fetch(&self) -> Result<Fetched> {
        match &self.source {
            KeySource::File(path) => {
                *self.seen() = version(path).await;
                Ok(Fetched { text: read(path).await?, place: path.display().to_string() })
            }
            KeySource::Url(url) => {
                let client = self.client.get_or_try_init(async || client(url)).await?;
                Ok(Fetched { text: download(client, url).await?, place: url.clone() })
            }
        }
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Option<Version>> {
        lock(&self.seen)
    }
}

async fn version(path: &Path) -> Option<Version> {
    let metadata = tokio::fs::metadata(path).await.ok()?;
    Some((metadata.modified().ok(), metadata.len()))
}

async fn read(path: &Path) -> Result<String> {
    let unreadable = |e| invalid(format!("cannot read {}", path.display())).with_source(e);
    let file = tokio::fs::File::open(path).await.map_err(unreadable)?;
    let mut text = String::new();
    file.take(MAX_BYTES as u64 + 1).read_to_string(&mut text).await.map_err(unreadable)?;
    if text.len() > MAX_BYTES {
        return Err(too_large(&path.display().to_string()));
    }
    Ok(text)
}

async fn download(client: &Client, url: &str) -> Result<String> {
    let failed = |e: reqwest::Error| {
        // The error would repeat the URL.
        Error::new(ErrorKind::SiteUnavailable, format!("cannot read {url}")).with_source(e.without_url())
    };
    let mut response = client.get(url).send().await.map_err(failed)?;
    if response.status() != StatusCode::OK {
        let context = format!("cannot read {url}: the server returned `{}`", response.status());
        return Err(Error::new(ErrorKind::SiteUnavailable, context));
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if bytes.len() + chunk.len() > MAX_BYTES {
            return Err(too_large(url));
        }
        bytes.extend_from_slice(&chunk);
    }
    String::from_utf8(bytes).map_err(|e| invalid(format!("{url} is not UTF-8 text")).with_source(e))
}

fn too_large(place: &str) -> Error {
    invalid(format!("{place} is larger than {MAX_BYTES} bytes, the limit of a key set"))
}

fn client(url: &str) -> Result<Client> {
    let unusable =
        |e| Error::new(ErrorKind::Internal, "cannot create the HTTP client for issuers' keys").with_source(e);
    let url = Url::parse(url).map_err(|e| invalid(format!("`{url}` is not a URL")).with_source(e))?;
    let plain = url.scheme() == "http";
    // After a redirect to another host, that host would decide who may log in.
    let same = Policy::custom(move |attempt| {
        let is_same = attempt.url().host() == url.host()
            && attempt.url().port_or_known_default() == url.port_or_known_default()
            && attempt.url().scheme() == url.scheme();
        if is_same && attempt.previous().len() <= MAX_REDIRECTS { attempt.follow() } else { attempt.stop() }
    });
    Client::builder()
        .timeout(TIME)
        .connect_timeout(TIME)
        .redirect(same)
        .https_only(!plain)
        // A machine without root certificates can still send requests on loopback.
        .tls_built_in_root_certs(!plain)
        .build()
        .map_err(unusable)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn keys_come_over_tls_or_from_this_machine() {
        for url in ["https://id.test/keys", "http://127.0.0.1:8080/keys", "http://localhost/k", "http://[::1]:1/k"] {
            assert!(KeySource::url(url).is_ok(), "{url}");
        }
        for url in
            ["http://id.test/keys", "http://127.0.0.1.id.test/", "ftp://127.0.0.1/", "keys", "https://a:b@id.test/"]
        {
            let error = KeySource::url(url).unwrap_err();
            assert!(!error.chain().contains("a:b"), "{}", error.chain());
        }
    }

    #[tokio::test]
    async fn a_file_is_bounded_and_its_changes_are_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        std::fs::write(&path, "{}").unwrap();
        let fetcher = Fetcher::new(KeySource::File(path.clone()));
        assert_eq!(fetcher.fetch().await.unwrap().text, "{}");
        assert!(!fetcher.has_changed().await);
        std::fs::write(&path, " ".repeat(MAX_BYTES + 1)).unwrap();
        assert!(fetcher.has_changed().await);
        assert!(fetcher.fetch().await.is_err());
    }
}
