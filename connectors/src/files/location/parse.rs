//! Parses the location in a contract: a path, or the URL of a store.

use std::path::{Component, PathBuf};

use glob::Pattern;
use object_store::path::Path;
use portolan_catalog::FileSource;
use url::Url;

use super::{LocalFiles, Location, Selection, StoreAddress};
use crate::fence::FenceError;

const GLOB_CHARACTERS: [char; 3] = ['*', '?', '['];

impl Location {
    /// Parses the location in a contract. Resolves a path on this machine, which may block; `local` returns the access
    /// to local files.
    ///
    /// # Errors
    /// The fault of the location, as text for a diagnostic at the source's place.
    pub(in crate::files) fn parse(
        source: &FileSource,
        local: impl FnOnce() -> Result<LocalFiles, String>,
    ) -> Result<Self, String> {
        match source.location.split_once("://") {
            None => Self::local(source.base.join(&source.location), &source.location, local()?),
            Some(("file", _)) => {
                let url = Url::parse(&source.location).map_err(|e| format!("the location is not a URL: {e}"))?;
                let path = url.to_file_path().map_err(|()| "the location is not a path on this machine".to_owned())?;
                Self::local(path, &source.location, local()?)
            }
            Some((scheme, rest)) => Self::remote(scheme, rest, &source.location),
        }
    }

    fn local(path: PathBuf, text: &str, local: LocalFiles) -> Result<Self, String> {
        let path = std::path::absolute(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let is_glob = |c: &Component<'_>| c.as_os_str().to_string_lossy().contains(GLOB_CHARACTERS);
        let literal: PathBuf = path.components().take_while(|c| !is_glob(c)).collect();
        let rest: PathBuf = path.components().skip_while(|c| !is_glob(c)).collect();
        // `..` and links are resolved once, so that a port keeps the folder with which it was opened.
        let found = local.fence.resolve(&literal).map_err(|e| match e {
            FenceError::Unreadable(_) => e.message(&literal.display().to_string()),
            _ => e.message(text),
        })?;
        let base =
            Path::from_absolute_path(&found).map_err(|e| format!("{} is no usable path: {e}", found.display()))?;
        let selection = if rest.as_os_str().is_empty() {
            if found.is_dir() { Selection::Folder } else { Selection::FileOrFolder }
        } else {
            Selection::Glob(pattern(&rest.to_string_lossy())?)
        };
        let location = Self::new(StoreAddress::Local, base, selection, "/".to_owned(), text);
        Ok(Self { local: Some((local, found)), ..location })
    }

    fn remote(scheme: &str, rest: &str, text: &str) -> Result<Self, String> {
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if authority.is_empty() {
            return Err(format!("{scheme}:// needs a bucket or host after it"));
        }
        let azure = matches!(scheme, "az" | "azure" | "abfs" | "abfss");
        if authority.contains('@') && !azure {
            return Err(
                "the location holds credentials: they belong into the node's config, under `sources`".to_owned()
            );
        }
        let store = match scheme {
            "s3" | "s3a" => StoreAddress::S3 { bucket: name_in_url(authority)? },
            "gs" | "gcs" => StoreAddress::Gcs { bucket: name_in_url(authority)? },
            "http" | "https" => {
                if path.contains(['?', '*', '[', '#']) || path.is_empty() || path.ends_with('/') {
                    return Err("a web server lists no files: give one file, without query".to_owned());
                }
                let path = Path::from_url_path(path).map_err(|e| format!("the location is no usable path: {e}"))?;
                let origin = web_origin(scheme, authority)?;
                let prefix = format!("{origin}/");
                let store = StoreAddress::Http { origin };
                return Ok(Self::new(store, path, Selection::FileOrFolder, prefix, text));
            }
            _ if azure => {
                let (container, host) = authority.split_once('@').unwrap_or((authority, ""));
                let account = host.split('.').next().filter(|a| !a.is_empty()).map(name_in_url).transpose()?;
                StoreAddress::Azure { account, container: name_in_url(container)? }
            }
            _ => {
                return Err(format!(
                    "`{scheme}://` is not known: use a path, `s3://`, `gs://`, `az://`, `abfs://`, `http://` or `https://`"
                ));
            }
        };
        let (base, selection) = split_glob(path)?;
        Ok(Self::new(store, base, selection, format!("{scheme}://{authority}/"), text))
    }
}

/// Returns the name of a bucket, a container or an account. Each becomes a part of a URL, where other characters could
/// change the host. The error does not repeat the name, which may be a key.
fn name_in_url(name: &str) -> Result<String, String> {
    let is_usual = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '$');
    match !name.starts_with('.') && !name.is_empty() && name.chars().all(is_usual) {
        true => Ok(name.to_owned()),
        false => Err("expected a bucket, container or account of letters, digits, `-`, `_`, `.` and `$` after the \
                      scheme, got other characters"
            .to_owned()),
    }
}

/// Returns the origin of a web server: the scheme, the host and the port.
fn web_origin(scheme: &str, authority: &str) -> Result<String, String> {
    let url = Url::parse(&format!("{scheme}://{authority}/")).map_err(|e| format!("the location is not a URL: {e}"))?;
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err("expected a host, and a port if needed, after the scheme".to_owned());
    }
    Ok(url.origin().ascii_serialization())
}

fn pattern(text: &str) -> Result<Pattern, String> {
    Pattern::new(text).map_err(|e| format!("the location is no usable glob: {e}"))
}

/// Splits a path of an object store before its first segment with a glob in it.
fn split_glob(path: &str) -> Result<(Path, Selection), String> {
    let segments: Vec<&str> = path.split('/').filter(|s| !s.is_empty()).collect();
    let literal = segments.iter().take_while(|s| !s.contains(GLOB_CHARACTERS)).count();
    let base = Path::from_iter(segments[..literal].iter().copied());
    let selection = if literal < segments.len() {
        Selection::Glob(pattern(&segments[literal..].join("/"))?)
    } else if path.is_empty() || path.ends_with('/') {
        Selection::Folder
    } else {
        Selection::FileOrFolder
    };
    Ok((base, selection))
}
