//! Reads the files of policies and agreements. Their number is bounded.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use portolan_catalog::{Diagnostic, DomainCatalog, Place, Product, ProductName, yaml};

use crate::mask_key::MaskKey;

/// The largest number of files of policies, and of agreements, of a product or of the mesh.
const MAX_FILES: usize = 1_000;
/// The largest number of entries of a folder that are listed.
const MAX_ENTRIES: usize = 10_000;
/// The largest number of files and folders that are searched for stray policies, and their largest depth. The catalog
/// refuses larger trees.
const MAX_TREE: usize = 50_000;
const MAX_DEPTH: usize = 8;

/// The files of a domain's products and of the mesh.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyFiles {
    /// The files of each product that has any.
    pub products: BTreeMap<ProductName, LayerFiles>,
    /// The files of the mesh.
    pub mesh: LayerFiles,
    /// The files of policies that belong to no product. They have no effect.
    pub stray: Vec<Diagnostic>,
    /// The key for `hmac-sha-256`. Without it, a policy with this mask closes its ports.
    pub mask_key: Option<MaskKey>,
}

/// The files of a product or of the mesh.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LayerFiles {
    /// The files of policies, in the order of their paths.
    pub policies: Vec<SourceFile>,
    /// The files of agreements, in the order of their paths.
    pub agreements: Vec<SourceFile>,
    /// The errors of files that cannot be read.
    pub errors: Vec<Diagnostic>,
}

/// A file and its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// The path.
    pub path: PathBuf,
    /// The text.
    pub text: String,
}

impl SourceFile {
    /// Returns a file with this text.
    pub fn new(path: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        Self { path: path.into(), text: text.into() }
    }
}

impl PolicyFiles {
    /// Returns the files of one product, whose policies are this text. For programs that keep no files.
    pub fn of_product(product: impl Into<String>, policies: impl Into<String>) -> Self {
        let product = ProductName::new(product);
        let file = SourceFile::new(format!("{product}.cedar"), policies);
        let layer = LayerFiles { policies: vec![file], ..LayerFiles::default() };
        Self { products: BTreeMap::from([(product, layer)]), ..Self::default() }
    }

    /// Reads the files of every product in the catalog, and of the mesh.
    ///
    /// The folder of a product is that of its descriptor. If the catalog does not have its place, it is the folder in
    /// `products` with the name of the product. A folder with the descriptors of several products may not have policies.
    pub fn read(catalog: &DomainCatalog, products: &Path, mesh: Option<&Path>) -> Self {
        let mut files = Self::default();
        let folder_of = |product: &Product| match &product.place {
            Some(place) => place.file.parent().unwrap_or(products).to_path_buf(),
            None => products.join(product.name.as_str()),
        };
        for product in catalog.products.values() {
            let folder = folder_of(product);
            let mut layer = LayerFiles::read(&folder.join("policies"), &folder.join("agreements"), true);
            let mut others = catalog.products.values().filter(|other| other.name != product.name);
            if let Some(other) = others.find(|other| !layer.is_empty() && folder_of(other) == folder) {
                let place = Place { file: folder.clone(), ..Place::default() };
                let message = format!(
                    "the products `{}` and `{}` have the same folder, so it is unclear whose its policies are: move each \
                     descriptor with its policies to a folder of its own",
                    product.name.clone().min(other.name.clone()),
                    product.name.clone().max(other.name.clone())
                );
                layer.errors.push(Diagnostic::new(place, message));
            }
            if !layer.is_empty() {
                files.products.insert(product.name.clone(), layer);
            }
        }
        files.stray = stray(&files, products);
        if let Some(mesh) = mesh {
            files.mesh = LayerFiles::read(mesh, &mesh.join("agreements"), false);
        }
        files
    }

    /// Returns every file, in the order of layers and paths.
    pub(crate) fn all(&self) -> impl Iterator<Item = &SourceFile> {
        let layers = self.products.values().chain([&self.mesh]);
        layers.flat_map(|layer| layer.policies.iter().chain(&layer.agreements))
    }
}

impl LayerFiles {
    /// True if there is no file, and no error of one.
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty() && self.agreements.is_empty() && self.errors.is_empty()
    }

    /// Reads the `*.cedar` files of one folder and the `*.yaml` files of another. A folder that is missing has no
    /// files, if it may be missing.
    fn read(policies: &Path, agreements: &Path, may_be_missing: bool) -> Self {
        let mut errors = vec![];
        let policies = read_folder(policies, &["cedar"], may_be_missing, &mut errors);
        let agreements = read_folder(agreements, &["yaml", "yml"], true, &mut errors);
        Self { policies, agreements, errors }
    }
}

/// Returns an error for each `*.cedar` file below `folder` that is in no product's folder of policies.
fn stray(files: &PolicyFiles, folder: &Path) -> Vec<Diagnostic> {
    let known: BTreeSet<&Path> = files.all().map(|file| file.path.as_path()).collect();
    let (mut errors, mut folders, mut entries) = (vec![], vec![(folder.to_path_buf(), 0)], 0);
    while let Some((folder, depth)) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            entries += 1;
            let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            if is_hidden || entries > MAX_TREE {
                continue;
            }
            if entry.file_type().is_ok_and(|ty| ty.is_dir()) {
                if depth < MAX_DEPTH {
                    folders.push((path, depth + 1));
                }
            } else if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("cedar")) && !known.contains(&*path) {
                let message = "the file belongs to no product and has no effect: policies are in the folder `policies` \
                               beside a product's descriptor";
                errors.push(Diagnostic::new(Place { file: path, ..Place::default() }, message));
            }
        }
    }
    errors
}

fn read_folder(
    folder: &Path,
    extensions: &[&str],
    may_be_missing: bool,
    errors: &mut Vec<Diagnostic>,
) -> Vec<SourceFile> {
    let paths = match list(folder, extensions) {
        Ok(paths) => paths,
        Err(e) if may_be_missing && e.kind() == std::io::ErrorKind::NotFound => return vec![],
        Err(e) => {
            let place = Place { file: folder.into(), ..Place::default() };
            errors.push(Diagnostic::new(place, format!("the folder cannot be read: {e}")));
            return vec![];
        }
    };
    let mut files = vec![];
    for path in paths {
        match yaml::read(&path) {
            Ok(text) => files.push(SourceFile { path, text }),
            Err(e) => errors.extend(e.0),
        }
    }
    files
}

/// Returns the files of a folder with one of these extensions. Names that start with a dot are ignored.
fn list(folder: &Path, extensions: &[&str]) -> std::io::Result<BTreeSet<PathBuf>> {
    let too_many = |what: String| std::io::Error::other(what);
    let mut paths = BTreeSet::new();
    for (i, entry) in std::fs::read_dir(folder)?.enumerate() {
        if i == MAX_ENTRIES {
            return Err(too_many(format!("more than {MAX_ENTRIES} entries")));
        }
        let path = entry?.path();
        let is_hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        let extension = path.extension().and_then(|e| e.to_str()).map(str::to_lowercase);
        // Reading a pipe would block. A dangling link is reported when it is read.
        let is_file = path.metadata().map_or(true, |m| m.is_file());
        if !is_hidden && is_file && extension.is_some_and(|e| extensions.contains(&e.as_str())) {
            paths.insert(path);
        }
    }
    match paths.len() {
        ..=MAX_FILES => Ok(paths),
        n => Err(too_many(format!("{n} files, and {MAX_FILES} are allowed"))),
    }
}
