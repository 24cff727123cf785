//! The floors of a crate: a module imports only modules that stand below it. [`upward`] reads the crate's source files
//! and finds the imports that go up.
//!
//! A path is followed through re-exports to the module that defines the name. Modules and items for tests, marked with
//! `cfg(test)`, may import anything, and are not read.

mod paths;
mod source;

use std::fmt::{Display, Formatter};
use std::io;
use std::path::Path;

use self::source::Module;

/// The floors of one crate.
#[derive(Clone, Copy, Debug)]
pub struct Floors {
    /// The crate's folder, relative to the workspace.
    pub crate_folder: &'static str,
    /// The crate's top-level modules, the lowest floor first.
    pub order: &'static [&'static str],
    /// The imports that may go up: the importing module, and the imported one.
    pub exceptions: &'static [(&'static str, &'static str)],
}

/// An import that goes up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upward {
    /// The importing file, and the line.
    pub place: String,
    /// The module of the importing file.
    pub from: String,
    /// The imported path, as it is written.
    pub path: String,
    /// The top-level module that defines what the path names.
    pub to: String,
}

impl Display for Upward {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let Self { place, from, path, to } = self;
        write!(f, "{place}: `{from}` imports `{path}`, but `{to}` stands above `{from}`")
    }
}

/// Returns the imports of a crate that go up.
///
/// # Errors
/// A file that cannot be read or parsed, a top-level module without a floor, and a floor without a module.
pub fn upward(workspace: &Path, floors: &Floors) -> io::Result<Vec<Upward>> {
    let root = Module::read(&workspace.join(floors.crate_folder).join("src"))?;
    let rank = |module: &str| floors.order.iter().position(|floor| *floor == module);
    if let Some(unknown) = root.children.keys().find(|name| rank(name).is_none()) {
        let text = format!("the module `{unknown}` of {} has no floor", floors.crate_folder);
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    if let Some(gone) = floors.order.iter().find(|floor| !root.children.contains_key(**floor)) {
        let text = format!("{} has no module `{gone}`, but a floor of that name", floors.crate_folder);
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    let mut found = vec![];
    root.walk(&mut |module| {
        let Some(from) = module.path.first() else { return };
        for import in &module.imports {
            let Some(to) = root.definition(&module.path, &import.path) else { continue };
            let allowed = floors.exceptions.contains(&(from.as_str(), to.as_str()));
            if rank(&to) > rank(from) && !allowed {
                let path = import.path.join("::");
                let place = format!("{}:{}", module.file.display(), import.line);
                found.push(Upward { place, from: from.clone(), path, to });
            }
        }
    });
    Ok(found)
}
