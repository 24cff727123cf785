//! The modules of a crate as its source files declare them.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use syn::visit::Visit;

use super::paths::{Collected, is_for_tests};

/// A module with its declarations and imports.
#[derive(Debug, Default)]
pub(super) struct Module {
    /// The names from the crate's root down to this module.
    pub(super) path: Vec<String>,
    pub(super) file: PathBuf,
    pub(super) children: BTreeMap<String, Module>,
    pub(super) imports: Vec<Import>,
    /// The names that `use` brings into the module, and their paths.
    names: BTreeMap<String, Vec<String>>,
    /// The paths of `use …::*`.
    globs: Vec<Vec<String>>,
}

/// A path that begins at the crate's root, at a parent module or at the module itself.
#[derive(Clone, Debug)]
pub(super) struct Import {
    pub(super) path: Vec<String>,
    pub(super) line: usize,
}

impl Module {
    /// Reads a crate from its `lib.rs` or `main.rs`.
    pub(super) fn read(src: &Path) -> io::Result<Self> {
        let file = ["lib.rs", "main.rs"].map(|name| src.join(name)).into_iter().find(|file| file.exists());
        let file = file.ok_or_else(|| invalid(src, "expected a lib.rs or a main.rs"))?;
        Self::parsed(vec![], file, src)
    }

    /// Reads the module of a file. The files of its children are in `folder`.
    fn parsed(path: Vec<String>, file: PathBuf, folder: &Path) -> io::Result<Self> {
        let text = std::fs::read_to_string(&file)?;
        let syntax = syn::parse_file(&text).map_err(|e| invalid(&file, e))?;
        Self::of(path, file, folder, &syntax.items)
    }

    fn of(path: Vec<String>, file: PathBuf, folder: &Path, items: &[syn::Item]) -> io::Result<Self> {
        let mut module = Self { path, file, ..Self::default() };
        let mut collected = Collected::default();
        for item in items {
            match item {
                syn::Item::Mod(child) if is_for_tests(&child.attrs) => {}
                syn::Item::Mod(child) => {
                    let name = child.ident.to_string();
                    let path = [module.path.clone(), vec![name.clone()]].concat();
                    let below = folder.join(&name);
                    let child = match &child.content {
                        Some((_, items)) => Self::of(path, module.file.clone(), &below, items)?,
                        None => {
                            let beside = folder.join(format!("{name}.rs"));
                            let file = if beside.exists() { beside } else { below.join("mod.rs") };
                            Self::parsed(path, file, &below)?
                        }
                    };
                    module.children.insert(name, child);
                }
                other => collected.visit_item(other),
            }
        }
        module.imports = collected.imports;
        module.names = collected.names;
        module.globs = collected.globs;
        Ok(module)
    }

    pub(super) fn walk(&self, see: &mut dyn FnMut(&Self)) {
        see(self);
        self.children.values().for_each(|child| child.walk(see));
    }

    /// Returns the top-level module that defines the target of a path in the module `from`; `None` if the path leads
    /// into another crate, or the crate's root defines the target.
    pub(super) fn definition(&self, from: &[String], path: &[String]) -> Option<String> {
        self.resolve(from, path, 0)?.into_iter().next()
    }

    /// Returns the path of the module that defines the last name of a path.
    fn resolve(&self, from: &[String], path: &[String], depth: usize) -> Option<Vec<String>> {
        // Two globs may refer to each other.
        if depth > 16 {
            return None;
        }
        let mut at: Vec<String> = from.to_vec();
        let mut names = path.iter().peekable();
        match path.first()?.as_str() {
            "crate" => at.clear(),
            "self" | "super" => {}
            first if self.module(from)?.children.contains_key(first) => {}
            _ => return None,
        }
        while let Some(name) = names.next_if(|name| ["crate", "self", "super"].contains(&name.as_str())) {
            if name == "super" {
                at.pop()?;
            }
        }
        while let Some(name) = names.next() {
            let module = self.module(&at)?;
            if module.children.contains_key(name) {
                at.push(name.clone());
            } else if let Some(target) = module.names.get(name) {
                let rest: Vec<String> = target.iter().chain(names).cloned().collect();
                return self.resolve(&at, &rest, depth + 1);
            } else {
                let rest: Vec<String> = std::iter::once(name).chain(names).cloned().collect();
                let through = |glob: &Vec<String>| {
                    let module = self.resolve(&at, glob, depth + 1)?;
                    self.module(&module)?.declares(&rest[0]).then_some(())?;
                    self.resolve(&module, &[vec!["self".to_owned()], rest.clone()].concat(), depth + 1)
                };
                return module.globs.iter().find_map(through).or(Some(at));
            }
        }
        Some(at)
    }

    fn declares(&self, name: &str) -> bool {
        self.children.contains_key(name) || self.names.contains_key(name)
    }

    fn module(&self, path: &[String]) -> Option<&Self> {
        path.iter().try_fold(self, |module, name| module.children.get(name))
    }
}

fn invalid(file: &Path, problem: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{}: {problem}", file.display()))
}
