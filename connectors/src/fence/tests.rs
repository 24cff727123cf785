#![allow(clippy::unwrap_used, clippy::panic)]
//! Paths that lead out of the root, and paths that are no data, whichever way they are written.

use std::fs;

use tempfile::TempDir;

use object_store::ObjectMeta;

use super::*;

/// A folder with a root and with files outside of it.
struct Tree(TempDir);

impl Tree {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        for path in ["root/data", "root-2", "root/keys"] {
            fs::create_dir_all(folder.path().join(path)).unwrap();
        }
        for file in ["root/data/a.csv", "root/node.yaml", "root/keys/tls.pem", "root-2/b.csv", "passwd"] {
            fs::write(folder.path().join(file), "x").unwrap();
        }
        Self(folder)
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn fence(&self) -> Fence {
        let private = vec![self.path("root/node.yaml"), self.path("root/keys"), self.path("nothing")];
        let bounds = LocalBounds { folders: Some(vec![self.path("root")]), private, setting: None };
        Fence::new("files", None, &bounds).unwrap()
    }

    fn link(&self, from: &str, to: &str) {
        #[cfg(unix)]
        std::os::unix::fs::symlink(self.path(to), self.path(from)).unwrap();
    }

    fn files(&self, names: &[&str]) -> Vec<ObjectMeta> {
        let file = |name: &&str| ObjectMeta {
            location: object_store::path::Path::from_absolute_path(self.path(name)).unwrap(),
            last_modified: Default::default(),
            size: 1,
            e_tag: None,
            version: None,
        };
        names.iter().map(file).collect()
    }
}

fn outside(outcome: Result<PathBuf, FenceError>) -> String {
    match outcome {
        Err(error @ FenceError::Outside { .. }) => error.message("the location"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_path_stays_in_the_root() {
    let tree = Tree::new();
    let fence = tree.fence();
    assert_eq!(fence.resolve(&tree.path("root/data/../data/a.csv")).unwrap(), {
        tree.path("root/data/a.csv").canonicalize().unwrap()
    });
    for path in ["root/data/../../passwd", "root/../root-2/b.csv", "root-2", "root/../nothing/at/all", "."] {
        let message = outside(fence.resolve(&tree.path(path)));
        assert!(message.starts_with("the location leads out of the root"), "{message}");
        assert!(message.contains("`sources.files.root`"), "{message}");
    }
    outside(fence.resolve(Path::new("/etc/passwd")));
    let of_statements =
        LocalBounds { folders: Some(vec![tree.path("root")]), private: vec![], setting: Some("local_files") };
    let message = outside(Fence::new("local", None, &of_statements).unwrap().resolve(&tree.path("passwd")));
    let expected = "the location leads out of the folder of the files that statements may read: move the data there, or \
                    set `local_files` in the node's config";
    assert_eq!(message, expected);
    assert!(matches!(fence.resolve(&tree.path("root/nothing")), Err(FenceError::Unreadable(_))));
    fence.check(&tree.path("root/nothing")).unwrap();
}

#[test]
fn a_source_can_have_a_root_of_its_own() {
    let tree = Tree::new();
    let bounds = LocalBounds { folders: Some(vec![tree.path("root")]), private: vec![], setting: None };
    let fence = Fence::new("files", Some(&tree.path("root-2")), &bounds).unwrap();
    fence.resolve(&tree.path("root-2/b.csv")).unwrap();
    outside(fence.resolve(&tree.path("root/data/a.csv")));
    let missing = Fence::new("files", Some(&tree.path("nothing")), &bounds).unwrap_err();
    assert!(missing.starts_with("`sources.files.root`: "), "{missing}");
    Fence::new("files", None, &LocalBounds::default()).unwrap().resolve(&tree.path("passwd")).unwrap();
}

#[test]
fn files_of_the_node_are_no_data() {
    let tree = Tree::new();
    let fence = tree.fence();
    for path in ["root/node.yaml", "root/data/../node.yaml", "root/keys/tls.pem", "root/keys"] {
        assert!(matches!(fence.resolve(&tree.path(path)), Err(FenceError::Private)), "{path}");
    }
    let files = tree.files(&["root/data/a.csv", "root/node.yaml"]);
    let (file, error) = fence.check_files(&files).unwrap_err();
    assert!(matches!(error, FenceError::Private) && file.location == files[1].location, "{error:?}");
    let files = tree.files(&["root/keys/tls.pem"]);
    assert!(matches!(fence.check_files(&files), Err((_, FenceError::Private))));
}

#[test]
fn a_file_that_the_node_writes_later_is_no_data() {
    let tree = Tree::new();
    let bounds = LocalBounds {
        folders: Some(vec![tree.path("root")]),
        private: vec![tree.path("root/state/new")],
        setting: None,
    };
    let fence = Fence::new("files", None, &bounds).unwrap();
    fs::create_dir_all(tree.path("root/state/new")).unwrap();
    fs::write(tree.path("root/state/new/key.pem"), "x").unwrap();
    assert!(matches!(fence.resolve(&tree.path("root/state/new/key.pem")), Err(FenceError::Private)));
    assert!(matches!(fence.check_files(&tree.files(&["root/state/new/key.pem"])), Err((_, FenceError::Private))));
}

#[test]
fn a_private_folder_around_the_root_does_not_hide_the_data() {
    let tree = Tree::new();
    let bounds = LocalBounds {
        folders: Some(vec![tree.path("root")]),
        private: vec![tree.path("."), tree.path("root")],
        setting: None,
    };
    Fence::new("files", None, &bounds).unwrap().resolve(&tree.path("root/data/a.csv")).unwrap();
}

#[cfg(unix)]
#[test]
fn links_are_followed_and_then_checked() {
    let tree = Tree::new();
    let fence = tree.fence();
    tree.link("root/data/inner.csv", "root/data/a.csv");
    tree.link("root/data/secret.csv", "passwd");
    tree.link("root/data/key.csv", "root/node.yaml");
    tree.link("root/out", "root-2");
    fence.resolve(&tree.path("root/data/inner.csv")).unwrap();
    outside(fence.resolve(&tree.path("root/data/secret.csv")));
    outside(fence.resolve(&tree.path("root/out/b.csv")));
    assert!(matches!(fence.resolve(&tree.path("root/data/key.csv")), Err(FenceError::Private)));
    fence.check_files(&tree.files(&["root/data/a.csv", "root/data/inner.csv", "root/data/gone.csv"])).unwrap();
    for name in ["root/data/secret.csv", "root/out/b.csv"] {
        let files = tree.files(&["root/data/a.csv", name]);
        assert!(matches!(fence.check_files(&files), Err((_, FenceError::Outside { .. }))), "{name}");
    }
    assert!(matches!(fence.check_files(&tree.files(&["root/data/key.csv"])), Err((_, FenceError::Private))));
}

#[cfg(unix)]
#[test]
fn sockets_and_devices_are_no_data() {
    let tree = Tree::new();
    let fence = tree.fence();
    let _socket = std::os::unix::net::UnixListener::bind(tree.path("root/data/s.csv")).unwrap();
    assert!(matches!(fence.resolve(&tree.path("root/data/s.csv")), Err(FenceError::Irregular)));
    let files = tree.files(&["root/data/s.csv"]);
    assert!(matches!(fence.check_files(&files), Err((_, FenceError::Irregular))));
    let anywhere = Fence::new("files", None, &LocalBounds::default()).unwrap();
    assert!(matches!(anywhere.resolve(Path::new("/dev/null")), Err(FenceError::Irregular)));
}
