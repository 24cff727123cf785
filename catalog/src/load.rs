//! Loads a domain's `products/` folder into a catalog: finds the files, checks them, and resolves each port's contract.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;

use crate::model::{Port, Product, Reference};
use crate::names::{PortName, check_name};
use crate::nearest::nearest;
use crate::odcs::{KEYS, PROCESSED_AT, ReadContract, wrong};
use crate::odps::{Descriptor, OutputPort};
use crate::source::{COLUMN_SETTINGS, PREFIX, QUERY, misplaced};
use crate::yaml::{self, Document, Step};
use crate::{Diagnostic, Diagnostics, DomainCatalog, DomainName, Place, PortRef, ProductName, schema};

mod domain;
mod files;
mod ports;
mod references;

pub use domain::domain_of;
pub use files::find as descriptor_files;
use ports::port_of;

/// Names of domains that the engine reserves.
pub const RESERVED_DOMAINS: [&str; 1] = ["portolan"];
/// Names of products that the engine adds to every domain.
pub const RESERVED_PRODUCTS: [&str; 2] = ["information_schema", "mesh"];

/// The descriptors of a domain.
#[derive(Clone, Debug, PartialEq)]
pub struct Descriptors {
    /// The domain, as [`load_domain`] returns it.
    pub catalog: DomainCatalog,
    /// The names of all `servers` of the contracts, also of those that no port reads.
    pub servers: BTreeSet<String>,
}

/// Loads every product descriptor (ODPS) below `folder` and the contracts (ODCS) that they name.
///
/// The catalog does not have the columns' Arrow types. [`DomainCatalog::with_schemas`] adds them when the sources are
/// open.
///
/// # Errors
/// All errors in all files.
pub fn load_domain(domain: &DomainName, folder: &Path) -> Result<DomainCatalog, Diagnostics> {
    load_descriptors(domain, folder).map(|descriptors| descriptors.catalog)
}

/// Loads the descriptors below `folder` as [`load_domain`] does.
///
/// # Errors
/// As [`load_domain`].
pub fn load_descriptors(domain: &DomainName, folder: &Path) -> Result<Descriptors, Diagnostics> {
    if let Err(message) = check_domain_name(domain) {
        return Err(yaml::whole_file(folder, message));
    }
    let mut loader = Loader::default();
    for file in files::find(folder)? {
        loader.read(&file);
    }
    let products = loader.products(domain);
    // A port with an error is not among the products, and references to it are no errors.
    if loader.errors.is_empty() {
        loader.errors = references::dangling(domain, &products, &loader.references);
    }
    if !loader.errors.is_empty() {
        let mut seen = HashSet::new();
        loader.errors.retain(|e| seen.insert(e.to_string()));
        loader.errors.sort_by(|a, b| (&a.place.file, a.place.line).cmp(&(&b.place.file, b.place.line)));
        return Err(Diagnostics(loader.errors));
    }
    let servers = loader.contracts.values().flat_map(|read| &read.contract.servers);
    let servers = servers.map(|server| server.server.clone()).collect();
    let catalog = DomainCatalog { domain: domain.clone(), version: String::new(), products, policies: None };
    let catalog = catalog.with_version();
    Ok(Descriptors { catalog, servers })
}

/// Checks that a domain can have this name.
///
/// # Errors
/// The reason why the name is not allowed.
pub fn check_domain_name(domain: &DomainName) -> Result<(), String> {
    check_name(domain.as_str()).map_err(|e| format!("the domain's name is not valid: {e}"))?;
    match is_reserved(domain.as_str(), &RESERVED_DOMAINS) {
        true => Err(format!("the domain cannot be called `{domain}`: the engine reserves this name")),
        false => Ok(()),
    }
}

pub(crate) fn is_reserved(name: &str, reserved: &[&str]) -> bool {
    reserved.iter().any(|r| r.eq_ignore_ascii_case(name))
}

/// The files that were read so far, and their errors.
#[derive(Default)]
struct Loader {
    descriptors: Vec<(Descriptor, Document)>,
    contracts: BTreeMap<String, ReadContract>,
    /// The ids of contracts that have errors. A port that names one of them is not another error.
    broken_contracts: HashSet<String>,
    /// The references of the ports, each with its place.
    references: Vec<(PortRef, Reference, Place)>,
    errors: Vec<Diagnostic>,
}

impl Loader {
    fn read(&mut self, file: &Path) {
        let document = yaml::read(file).and_then(|text| Document::parse(&text, file));
        match document {
            Ok(document) => self.take(document),
            Err(e) => self.errors.extend(e.0),
        }
    }

    fn take(&mut self, document: Document) {
        let json = document.to_json();
        match json["kind"].as_str() {
            Some("DataProduct") => {
                self.check_custom_properties(&json, &document, false);
                if let Some(descriptor) = self.typed(&schema::ODPS, &document) {
                    self.descriptors.push((descriptor, document));
                }
            }
            Some("DataContract") => {
                self.check_custom_properties(&json, &document, true);
                match self.typed(&schema::ODCS, &document) {
                    Some(contract) => self.add_contract(ReadContract::new(contract, document, &json)),
                    None => self.broken_contracts.extend(json["id"].as_str().map(String::from)),
                }
            }
            kind => self.errors.push(not_a_kind(kind, &document)),
        }
    }

    fn typed<T: serde::de::DeserializeOwned>(&mut self, schema: &schema::Schema, document: &Document) -> Option<T> {
        let errors = schema.check(document);
        if !errors.is_empty() {
            self.errors.extend(errors);
            return None;
        }
        match yaml::from_document(document.clone()) {
            Ok(typed) => Some(typed),
            Err(e) => {
                self.errors.extend(e.0);
                None
            }
        }
    }

    fn add_contract(&mut self, read: ReadContract) {
        let id = read.contract.id.clone();
        if let Some(other) = self.contracts.get(&id) {
            let first = without_field(other.document.place(&["id".into()]));
            let message = format!("the contract `{id}` is also at {first}");
            self.errors.push(wrong(read.document.place(&["id".into()]), message));
        } else {
            self.contracts.insert(id, read);
        }
    }

    /// Checks that Portolan's custom properties are in a contract, in one of its servers, in one of its schema objects or in
    /// a column, each where it has a meaning.
    fn check_custom_properties(&mut self, json: &serde_json::Value, document: &Document, is_contract: bool) {
        let mut found = vec![];
        own_properties(json, &mut vec![], &mut found);
        for (mut path, property) in found {
            use Step::{Index, Key};
            let is_of_column = COLUMN_SETTINGS.contains(&property.as_str()) || property == KEYS;
            let is_residency = property == KEYS || property == PROCESSED_AT;
            let read = match path.as_slice() {
                [Key(properties), Index(_)] => properties == "customProperties" && !is_residency,
                [Key(list), Index(_), Key(_), Index(_)] => match property.as_str() {
                    QUERY | PROCESSED_AT => list == "schema",
                    _ => list == "servers" && !is_residency,
                },
                [Key(schema), Index(_), Key(properties), Index(_), Key(_), Index(_)] => {
                    schema == "schema" && properties == "properties" && is_of_column
                }
                _ => false,
            };
            if !(is_contract && read) {
                path.push("property".into());
                self.errors.push(misplaced(&property, document.place(&path)));
            }
        }
    }

    fn products(&mut self, domain: &DomainName) -> BTreeMap<ProductName, Product> {
        let mut products = BTreeMap::new();
        let mut places: HashMap<ProductName, Place> = HashMap::new();
        for (descriptor, document) in std::mem::take(&mut self.descriptors) {
            let Some(product) = self.product(domain, &descriptor, &document) else { continue };
            let place = document.place(&["name".into()]);
            if let Some(first) = places.get(&product.name) {
                let message = format!("the product `{}` is also at {}", product.name, without_field(first.clone()));
                self.errors.push(wrong(place, message));
            } else {
                places.insert(product.name.clone(), place);
                products.insert(product.name.clone(), product);
            }
        }
        products
    }

    fn product(&mut self, domain: &DomainName, descriptor: &Descriptor, document: &Document) -> Option<Product> {
        if let Some(other) = descriptor.domain.as_deref().filter(|d| *d != domain.as_str()) {
            let message = format!("the product belongs to the domain `{other}`; this node serves `{domain}`");
            self.errors.push(wrong(document.place(&["domain".into()]), message));
        }
        let at_name = document.place(&["name".into()]);
        let Some(name) = &descriptor.name else {
            let place = document.place(&[]);
            self.errors.push(wrong(place, "the key `name` is missing: it is the product's name in SQL"));
            return None;
        };
        if let Err(message) = check_name(name) {
            self.errors.push(wrong(at_name, message));
            return None;
        }
        if is_reserved(name, &RESERVED_PRODUCTS) {
            let message = format!("a product cannot be called `{name}`: every domain has a schema of that name");
            self.errors.push(wrong(at_name, message));
            return None;
        }
        let name = ProductName::new(name);
        let mut ports: BTreeMap<PortName, Port> = BTreeMap::new();
        let mut first: HashMap<&str, usize> = HashMap::new();
        for (i, output) in descriptor.output_ports.iter().enumerate() {
            let at = |key: &str| document.place(&["outputPorts".into(), i.into(), key.into()]);
            if let Some(other) = first.insert(&output.name, i) {
                let other = document.place(&["outputPorts".into(), other.into()]);
                let message = format!("the port `{}` is also at {}", output.name, without_field(other));
                self.errors.push(wrong(at("name"), message));
                continue;
            }
            if let Some(port) = self.port(domain, &name, output, &at) {
                let place = Some(document.place(&["outputPorts".into(), i.into()]));
                ports.insert(PortName::new(&output.name), Port { place, ..port });
            }
        }
        Some(Product {
            name,
            version: descriptor.version.clone(),
            status: descriptor.status.clone(),
            description: descriptor.description.as_ref().and_then(|d| d.text()),
            owner: descriptor.team.as_ref().and_then(|t| t.owner()),
            tags: descriptor.tags.clone(),
            ports,
            load_error: None,
            place: Some(document.place(&[])),
        })
    }

    fn port(
        &mut self,
        domain: &DomainName,
        product: &ProductName,
        output: &OutputPort,
        at: &impl Fn(&str) -> Place,
    ) -> Option<Port> {
        let name = PortRef { domain: domain.clone(), product: product.clone(), port: PortName::new(&output.name) };
        let (port, errors) = match (check_name(&output.name), self.contract(output, at)) {
            (Err(message), _) => (None, vec![wrong(at("name"), message)]),
            (_, Err(error)) => (None, error.into_iter().collect()),
            (Ok(()), Ok(read)) => match port_of(name, output, read, at) {
                Ok(port) => (Some(port), vec![]),
                Err(errors) => (None, errors),
            },
        };
        self.errors.extend(errors);
        let (port, places) = port?;
        let references = port.references.iter().cloned().zip(places);
        self.references.extend(references.map(|(reference, place)| (port.name.clone(), reference, place)));
        Some(port)
    }

    /// Returns the contract that a port names.
    ///
    /// # Errors
    /// The error, or `None` if it was already reported.
    fn contract(&self, output: &OutputPort, at: &impl Fn(&str) -> Place) -> Result<&ReadContract, Option<Diagnostic>> {
        let Some(id) = &output.contract_id else {
            let message = format!(
                "the port `{}` has no `contractId`: a contract describes its columns and the location of its data",
                output.name
            );
            return Err(Some(wrong(at("contractId"), message)));
        };
        match self.contracts.get(id) {
            Some(read) => Ok(read),
            None if self.broken_contracts.contains(id) => Err(None),
            None => {
                let suggestion = nearest(id, self.contracts.keys().map(String::as_str)).map(str::to_string);
                let message = format!("no contract below this folder has the id `{id}`");
                Err(Some(Diagnostic { place: at("contractId"), message, suggestion }))
            }
        }
    }
}

fn not_a_kind(kind: Option<&str>, document: &Document) -> Diagnostic {
    const KINDS: [&str; 2] = ["DataProduct", "DataContract"];
    match kind {
        Some(kind) => Diagnostic {
            place: document.place(&["kind".into()]),
            message: format!("`{kind}` is not a kind of descriptor; one of `DataProduct`, `DataContract`"),
            suggestion: nearest(kind, KINDS).map(str::to_string),
        },
        None => wrong(document.place(&[]), "the key `kind` is missing; one of `DataProduct`, `DataContract`"),
    }
}

/// Finds every custom property whose name starts with Portolan's prefix, anywhere in a document.
fn own_properties(json: &serde_json::Value, path: &mut Vec<Step>, found: &mut Vec<(Vec<Step>, String)>) {
    match json {
        serde_json::Value::Object(entries) => {
            if let (Some(property), Some(Step::Index(_))) = (entries.get("property"), path.last())
                && path.iter().rev().nth(1) == Some(&"customProperties".into())
                && let Some(property) = property.as_str().filter(|p| p.starts_with(PREFIX))
            {
                found.push((path.clone(), property.to_string()));
            }
            for (key, value) in entries {
                path.push(key.as_str().into());
                own_properties(value, path, found);
                path.pop();
            }
        }
        serde_json::Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                path.push(i.into());
                own_properties(item, path, found);
                path.pop();
            }
        }
        _ => {}
    }
}

fn without_field(place: Place) -> Place {
    Place { field: String::new(), ..place }
}

#[cfg(test)]
mod tests;
