//! The modules of a crate, and the paths of others that each of them names.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use proc_macro2::{TokenStream, TokenTree};
use syn::{
    Attribute, ImplItem, Item, ItemMod, Macro, UseTree,
    visit::{self, Visit},
};

/// A module by the names on the way to it; the crate itself has none.
pub(crate) type ModulePath = Vec<String>;

/// All modules of a crate that are no tests.
#[derive(Default)]
pub(crate) struct Sources {
    /// In the order in which they are declared, the crate first.
    pub(crate) modules: Vec<ModulePath>,
    /// Which module names which path, as it is written.
    pub(crate) named: Vec<(ModulePath, Vec<String>)>,
}

impl Sources {
    /// Those of the crate whose `lib.rs` or `main.rs` is in this folder.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let mut sources = Self::default();
        let library = folder.join("lib.rs");
        let file = if library.exists() {
            library
        } else {
            folder.join("main.rs")
        };
        sources.read_module(&file, folder, Vec::new())?;
        Ok(sources)
    }

    /// The modules that the crate itself declares.
    pub(crate) fn roots(&self) -> impl Iterator<Item = &str> + Clone {
        self.modules.iter().filter_map(|module| match module.as_slice() {
            [name] => Some(name.as_str()),
            _ => None,
        })
    }

    /// Reads one file; those of the modules that it declares are in `folder`.
    fn read_module(&mut self, file: &Path, folder: &Path, path: ModulePath) -> Result<()> {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let parsed = syn::parse_file(&text).with_context(|| format!("{} is not Rust", file.display()))?;
        let mut reader = Reader {
            at: path.clone(),
            declared: Vec::new(),
            sources: self,
        };
        reader.sources.modules.push(path);
        reader.visit_file(&parsed);
        for module in reader.declared {
            let name = module.last().context("a module without a name")?;
            let below = folder.join(name);
            self.read_module(&folder.join(format!("{name}.rs")), &below, module)?;
        }
        Ok(())
    }
}

/// Goes through one file.
struct Reader<'a> {
    at: ModulePath,
    /// The modules that have a file of their own.
    declared: Vec<ModulePath>,
    sources: &'a mut Sources,
}

impl Reader<'_> {
    fn name(&mut self, path: Vec<String>) {
        self.sources.named.push((self.at.clone(), path));
    }

    fn name_all(&mut self, tree: &UseTree, before: &[String]) {
        let with = |ident: &syn::Ident| [before, &[ident.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.name_all(&path.tree, &with(&path.ident)),
            UseTree::Name(name) => self.name(with(&name.ident)),
            UseTree::Rename(rename) => self.name(with(&rename.ident)),
            UseTree::Glob(_) => self.name(before.to_vec()),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.name_all(tree, before)),
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let is_test = matches!(item, ImplItem::Fn(function) if is_for_tests(&function.attrs));
        if !is_test {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        self.at.push(module.ident.to_string());
        if module.content.is_some() {
            self.sources.modules.push(self.at.clone());
            visit::visit_item_mod(self, module);
        } else {
            self.declared.push(self.at.clone());
        }
        self.at.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.name_all(&item.tree, &[]);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.name(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        let mut found = Vec::new();
        paths(call.tokens.clone(), &mut found);
        found.into_iter().for_each(|path| self.name(path));
        visit::visit_macro(self, call);
    }
}

/// What stands in the call of a macro is no syntax yet: names that colons join are taken for paths.
fn paths(tokens: TokenStream, found: &mut Vec<Vec<String>>) {
    let mut path: Vec<String> = Vec::new();
    let mut colons = 0;
    for token in tokens {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
            TokenTree::Ident(ident) => {
                if colons != 2 {
                    found.push(std::mem::take(&mut path));
                }
                path.push(ident.to_string());
                colons = 0;
            }
            TokenTree::Group(group) => {
                paths(group.stream(), found);
                colons = 0;
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => colons = 0,
        }
    }
    found.push(path);
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Whether an item is compiled for tests alone: `test` stands among its conditions and is not negated.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("cfg"))
        .filter_map(|attribute| attribute.meta.require_list().ok())
        .any(|condition| {
            let words = condition.tokens.to_string();
            let mut words = words.split(|c: char| !c.is_alphanumeric() && c != '_');
            let is_negated = words.clone().any(|word| word == "not");
            words.any(|word| word == "test") && !is_negated
        })
}
