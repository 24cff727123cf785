//! A store that adds its own first segment to every path. The store reads files, and writes new files if permitted.
//!
//! The segment separates the files of different stores in caches that know only paths. Large reads are split into
//! pieces. A slow consumer then does not fill the memory, and the time limit of a request does not bound the size of a
//! file.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::path::{Path, PathPart};
use object_store::{
    CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// The largest number of bytes that one request reads.
pub(super) const PIECE: u64 = 8 << 20;

/// A store with its own first segment in every path. The module describes it.
pub(super) struct ScopedStore {
    inner: Arc<dyn ObjectStore>,
    scope: Path,
    takes_files: bool,
}

impl ScopedStore {
    /// Returns a store that adds `scope` to every path of `inner`. The store accepts new files if `takes_files` is
    /// true.
    pub(super) fn new(inner: Arc<dyn ObjectStore>, scope: &str, takes_files: bool) -> Self {
        Self { inner, scope: Path::from(scope), takes_files }
    }

    /// Returns the path of a new file in the inner store.
    fn new_file(&self, path: &Path) -> Result<Path> {
        if self.takes_files { self.inside(path) } else { Err(read_only()) }
    }

    /// Returns a path without the scope.
    fn inside(&self, path: &Path) -> Result<Path> {
        let inside = path.prefix_match(&self.scope).map(|parts| parts.collect());
        inside.ok_or_else(|| Error::NotFound { path: path.to_string(), source: "not a path of this store".into() })
    }

    /// Reads `range` piece by piece. Fails if the file changes in the meantime.
    async fn get_in_pieces(&self, location: &Path, range: Range<u64>, options: GetOptions) -> Result<GetResult> {
        let path = self.inside(location)?;
        let piece = |range: Range<u64>, e_tag: Option<String>| GetOptions {
            range: Some(GetRange::Bounded(range)),
            if_match: e_tag,
            ..options.clone()
        };
        let upto = range.end.min(range.start.saturating_add(PIECE));
        let first = match self.inner.get_opts(&path, piece(range.start..upto, options.if_match.clone())).await {
            // A web server may not support ranges.
            Err(Error::NotSupported { .. }) => {
                let mut whole = self.inner.get_opts(&path, options).await?;
                whole.meta.location = location.clone();
                return Ok(whole);
            }
            first => first?,
        };
        let (meta, attributes) = (first.meta.clone(), first.attributes.clone());
        let end = range.end.min(meta.size);
        let next = first.range.end;
        let (inner, e_tag) = (self.inner.clone(), meta.e_tag.clone());
        let options = piece(0..0, e_tag);
        let rest = stream::try_unfold(next, move |at| {
            let (inner, path) = (inner.clone(), path.clone());
            let upto = end.min(at.saturating_add(PIECE));
            let options = GetOptions { range: Some(GetRange::Bounded(at..upto)), ..options.clone() };
            async move {
                if at >= end {
                    return Ok(None);
                }
                let bytes = inner.get_opts(&path, options).await?.bytes().await?;
                Ok(Some((bytes, upto)))
            }
        });
        let payload = GetResultPayload::Stream(first.into_stream().chain(rest).boxed());
        Ok(GetResult {
            payload,
            meta: ObjectMeta { location: location.clone(), ..meta },
            range: range.start..end,
            attributes,
        })
    }
}

/// Leaves out the inner store, whose `Debug` shows the identities in requests.
impl fmt::Debug for ScopedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedStore").field("scope", &self.scope).finish_non_exhaustive()
    }
}

impl fmt::Display for ScopedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.scope)
    }
}

#[async_trait]
impl ObjectStore for ScopedStore {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        match &options.range {
            None if !options.head => return self.get_in_pieces(location, 0..u64::MAX, options).await,
            Some(GetRange::Bounded(range)) if range.end.saturating_sub(range.start) > PIECE => {
                return self.get_in_pieces(location, range.clone(), options).await;
            }
            _ => {}
        }
        let mut result = self.inner.get_opts(&self.inside(location)?, options).await?;
        result.meta.location = location.clone();
        Ok(result)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(&self.inside(location)?, ranges).await
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let prefix = match prefix.map(|prefix| self.inside(prefix)).transpose() {
            Ok(prefix) => prefix,
            Err(error) => return stream::once(async { Err(error) }).boxed(),
        };
        let scope = self.scope.clone();
        self.inner.list(prefix.as_ref()).map_ok(move |meta| scoped(&scope, meta)).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let prefix = prefix.map(|prefix| self.inside(prefix)).transpose()?;
        let listed = self.inner.list_with_delimiter(prefix.as_ref()).await?;
        Ok(ListResult {
            common_prefixes: listed.common_prefixes.iter().map(|p| join(&self.scope, p)).collect(),
            objects: listed.objects.into_iter().map(|meta| scoped(&self.scope, meta)).collect(),
        })
    }

    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(&self.new_file(location)?, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(&self.new_file(location)?, options).await
    }

    fn delete_stream(&self, _: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        stream::once(async { Err(read_only()) }).boxed()
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(read_only())
    }
}

fn read_only() -> Error {
    Error::NotSupported { source: "a source is only read".into() }
}

fn join(scope: &Path, path: &Path) -> Path {
    let parts: Vec<PathPart<'_>> = scope.parts().chain(path.parts()).collect();
    parts.into_iter().collect()
}

fn scoped(scope: &Path, meta: ObjectMeta) -> ObjectMeta {
    ObjectMeta { location: join(scope, &meta.location), ..meta }
}
