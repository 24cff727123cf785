//! The paths in a module's items: those of `use`, and those written in full in types, expressions and macros.

use std::collections::BTreeMap;

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::source::Import;

/// The imports of some items.
#[derive(Debug, Default)]
pub(super) struct Collected {
    pub(super) imports: Vec<Import>,
    pub(super) names: BTreeMap<String, Vec<String>>,
    pub(super) globs: Vec<Vec<String>>,
}

impl Collected {
    fn add(&mut self, path: Vec<String>, at: Span) {
        self.imports.push(Import { path, line: at.start().line });
    }

    fn tree(&mut self, prefix: &[String], tree: &syn::UseTree) {
        let under = |name: &Ident| [prefix, &[name.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.tree(&under(&path.ident), &path.tree),
            syn::UseTree::Name(name) if name.ident == "self" => {
                let module = prefix.last().cloned().unwrap_or_default();
                self.names.insert(module, prefix.to_vec());
                self.add(prefix.to_vec(), name.span());
            }
            syn::UseTree::Name(name) => {
                self.names.insert(name.ident.to_string(), under(&name.ident));
                self.add(under(&name.ident), name.span());
            }
            syn::UseTree::Rename(rename) => {
                let path = if rename.ident == "self" { prefix.to_vec() } else { under(&rename.ident) };
                self.names.insert(rename.rename.to_string(), path.clone());
                self.add(path, rename.span());
            }
            syn::UseTree::Glob(glob) => {
                self.globs.push(prefix.to_vec());
                self.add(prefix.to_vec(), glob.span());
            }
            syn::UseTree::Group(group) => group.items.iter().for_each(|tree| self.tree(prefix, tree)),
        }
    }

    /// Adds the paths in a macro's arguments that begin with `crate` or `super`.
    fn tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        for (at, token) in tokens.iter().enumerate() {
            match token {
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Ident(first) if (first == "crate" || first == "super") && !follows_path(&tokens[..at]) => {
                    self.add(written(&tokens[at..]), first.span());
                }
                _ => {}
            }
        }
    }
}

fn follows_path(before: &[TokenTree]) -> bool {
    matches!(before.last(), Some(TokenTree::Punct(punct)) if punct.as_char() == ':')
}

/// Returns the names that tokens begin with, as far as `::` joins them.
fn written(tokens: &[TokenTree]) -> Vec<String> {
    let mut path = vec![];
    for chunk in tokens.chunks(3) {
        let [TokenTree::Ident(name), rest @ ..] = chunk else { break };
        path.push(name.to_string());
        if !matches!(rest, [TokenTree::Punct(a), TokenTree::Punct(b)] if a.as_char() == ':' && b.as_char() == ':') {
            break;
        }
    }
    path
}

impl<'ast> Visit<'ast> for Collected {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let attributes = match item {
            syn::Item::Const(item) => &item.attrs,
            syn::Item::Enum(item) => &item.attrs,
            syn::Item::Fn(item) => &item.attrs,
            syn::Item::Impl(item) => &item.attrs,
            syn::Item::Macro(item) => &item.attrs,
            syn::Item::Mod(item) => &item.attrs,
            syn::Item::Static(item) => &item.attrs,
            syn::Item::Struct(item) => &item.attrs,
            syn::Item::Trait(item) => &item.attrs,
            syn::Item::Type(item) => &item.attrs,
            syn::Item::Use(item) => &item.attrs,
            _ => return visit::visit_item(self, item),
        };
        if !is_for_tests(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        if !is_for_tests(&function.attrs) {
            visit::visit_impl_item_fn(self, function);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.tree(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if names.len() > 1 && path.leading_colon.is_none() {
            self.add(names, path.span());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.tokens(call.tokens.clone());
    }
}

/// True if attributes contain `cfg(test)`, alone or among other conditions.
pub(super) fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    fn has_test(tokens: TokenStream) -> bool {
        tokens.into_iter().any(|token| match token {
            TokenTree::Ident(name) => name == "test",
            TokenTree::Group(group) => has_test(group.stream()),
            _ => false,
        })
    }
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::List(list) => list.path.is_ident("cfg") && has_test(list.tokens.clone()),
        _ => false,
    })
}
