#![allow(clippy::unwrap_used, clippy::panic)]
#![cfg(unix)]
//! Folders with links.

use std::os::unix::fs::symlink;

use object_store::{ObjectStore, ObjectStoreExt};
use portolan_catalog::{FileFormat, FileSource};
use tempfile::TempDir;

use super::*;
use crate::fence::LocalBounds;

/// A folder `root` with data, and a folder `outside` of it.
struct Tree(TempDir);

impl Tree {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        for file in ["root/data/a.csv", "root/data/inner/b.csv", "outside/c.csv", "outside/d.csv", "outside/e.csv"] {
            let file = folder.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "x").unwrap();
        }
        Self(folder)
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn link(&self, from: &str, to: &str) {
        symlink(self.path(to), self.path(from)).unwrap();
    }

    fn location(&self, location: &str) -> Location {
        let source = FileSource::new(location, self.0.path(), FileFormat::Csv);
        let bounds = LocalBounds { folders: Some(vec![self.path("root")]), private: vec![], setting: None };
        let fence = Arc::new(Fence::new("lake", None, &bounds).unwrap());
        Location::parse(&source, || Ok(LocalFiles { fence, calls: FileCalls::default() })).unwrap()
    }

    /// Returns the descriptions of at most two files.
    async fn files(&self, location: &str) -> Result<Vec<ObjectMeta>, ListingError> {
        super::super::list(&LocalFileSystem::new(), &self.location(location), FileFormat::Csv, 2).await
    }

    /// Returns the paths of the files below `root/data`.
    async fn listed(&self, location: &str) -> Vec<String> {
        let files = self.files(location).await.unwrap();
        let data = self.path("root/data").canonicalize().unwrap();
        let base = object_store::path::Path::from_absolute_path(data).unwrap();
        let below = |file: &ObjectMeta| file.location.as_ref().strip_prefix(base.as_ref()).unwrap().to_owned();
        files.iter().map(below).collect()
    }

    /// Returns the message about the path that must not be read.
    async fn refused(&self, location: &str) -> String {
        match self.files(location).await {
            Err(ListingError::Refused(refused)) => refused.message("the location"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn files_are_described_as_the_store_describes_them() {
    let tree = Tree::new();
    tree.link("root/data/linked", "root/data/inner");
    tree.link("root/data/dead.csv", "root/nothing.csv");
    fs::remove_file(tree.path("root/data/a.csv")).unwrap();
    let files = tree.files("root/data/").await.unwrap();
    assert_eq!(tree.listed("root/data/").await, ["/inner/b.csv", "/linked/b.csv"]);
    for file in files {
        assert_eq!(LocalFileSystem::new().head(&file.location).await.unwrap(), file);
    }
}

#[tokio::test]
async fn the_files_of_local_folders_are_those_of_the_store() {
    let tree = Tree::new();
    fs::write(tree.path("root/data/upload.csv#1"), "x").unwrap();
    let location = tree.location("root/data/");
    let (local, base) = location.local_files().unwrap();
    let mut ours: Vec<ObjectMeta> = list(&location, local, base, FileFormat::Csv).map(Result::unwrap).collect().await;
    let store = LocalFileSystem::new();
    let mut theirs: Vec<ObjectMeta> = store.list(Some(&location.base)).map(Result::unwrap).collect().await;
    ours.sort_by(|a, b| a.location.cmp(&b.location));
    theirs.sort_by(|a, b| a.location.cmp(&b.location));
    assert_eq!(ours, theirs);
}

#[tokio::test]
async fn a_link_to_a_folder_outside_is_refused_before_the_folder_is_listed() {
    let tree = Tree::new();
    tree.link("root/data/out", "outside");
    // More files than the limit are behind the link.
    let message = tree.refused("root/data/").await;
    assert!(message.contains("root/data/out leads out of the root"), "{message}");
    tree.refused("root/**/*.csv").await;
    tree.refused("root/data/*/*.csv").await;
    fs::remove_file(tree.path("root/data/out")).unwrap();
    // A link to a link is resolved to its end.
    tree.link("root/out", "outside");
    tree.link("root/data/inner/again", "root/out");
    let message = tree.refused("root/data/").await;
    assert!(message.contains("root/data/inner/again leads out of the root"), "{message}");
}

#[tokio::test]
async fn a_link_that_the_location_does_not_choose_is_not_followed() {
    let tree = Tree::new();
    tree.link("root/data/.out", "outside");
    tree.link("root/data/inner/notes.txt", "outside/c.csv");
    assert_eq!(tree.listed("root/data/*.csv").await, ["/a.csv"]);
    assert_eq!(tree.listed("root/data/*/*.csv").await, ["/inner/b.csv"]);
    fs::remove_file(tree.path("root/data/inner/notes.txt")).unwrap();
    assert_eq!(tree.listed("root/data/").await, ["/a.csv", "/inner/b.csv"]);
}

#[tokio::test]
async fn a_glob_with_a_slash_in_brackets_leaves_out_no_folder() {
    let tree = Tree::new();
    fs::create_dir(tree.path("root/data/inner/x")).unwrap();
    fs::write(tree.path("root/data/inner/x/f.csv"), "x").unwrap();
    assert_eq!(tree.listed("root/data/[!/]*/x/*.csv").await, ["/inner/x/f.csv"]);
}

#[tokio::test]
async fn a_name_that_the_store_does_not_accept_counts_only_where_data_can_be() {
    let tree = Tree::new();
    let _socket = std::os::unix::net::UnixListener::bind(tree.path("root/data/s\n")).unwrap();
    fs::create_dir(tree.path("root/data/.h\n")).unwrap();
    for file in ["x\n", ".f\n", "_f\n.csv", "inner/x.txt\n"] {
        fs::write(tree.path("root/data").join(file), "x").unwrap();
    }
    assert_eq!(tree.listed("root/data/").await, ["/a.csv", "/inner/b.csv"]);
    fs::create_dir(tree.path("root/data/d\n")).unwrap();
    assert_eq!(tree.listed("root/data/i*/*.csv").await, ["/inner/b.csv"]);
    assert!(matches!(tree.files("root/data/").await, Err(ListingError::Store(_))));
    fs::remove_dir(tree.path("root/data/d\n")).unwrap();
    fs::write(tree.path("root/data/f\n.csv"), "x").unwrap();
    assert_eq!(tree.listed("root/data/a*.csv").await, ["/a.csv"]);
    assert!(matches!(tree.files("root/data/").await, Err(ListingError::Store(_))));
}

#[tokio::test]
async fn a_link_to_a_file_outside_is_refused() {
    let tree = Tree::new();
    tree.link("root/data/inner/c.csv", "outside/c.csv");
    let message = tree.refused("root/data/inner/").await;
    assert!(message.contains("root/data/inner/c.csv leads out of the root"), "{message}");
}

#[tokio::test]
async fn the_depth_of_folders_is_bounded() {
    let tree = Tree::new();
    let deepest = tree.path("root/data").join("d/".repeat(128));
    fs::create_dir_all(&deepest).unwrap();
    fs::write(deepest.join("f.csv"), "x").unwrap();
    fs::remove_file(tree.path("root/data/a.csv")).unwrap();
    assert_eq!(tree.listed("root/data/").await.len(), 2);
    fs::create_dir(deepest.join("d")).unwrap();
    let message = tree.refused("root/data/").await;
    assert!(message.contains("is more than 128 folders below the location"), "{message}");
}

#[tokio::test]
async fn a_loop_of_links_is_refused() {
    for (link, target) in
        [("root/data/inner/up", "root/data"), ("root/data/inner/top", "root"), ("root/data/self", "root/data")]
    {
        let tree = Tree::new();
        tree.link(link, target);
        let message = tree.refused("root/data/").await;
        assert!(message.contains("leads back to a folder that it is in"), "{link}: {message}");
    }
    // Links that lead to each other lead to nothing.
    let tree = Tree::new();
    tree.link("root/data/x.csv", "root/data/y.csv");
    tree.link("root/data/y.csv", "root/data/x.csv");
    assert!(matches!(tree.files("root/data/").await, Err(ListingError::Store(_))));
}
