//! Resolves files of policies to the ports and columns of a catalog.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use portolan_catalog::{Diagnostic, DomainCatalog, Place, Port, PortRef, Product, Warning};
use sha2::{Digest, Sha256};

use crate::agreement::{self, Agreement};
use crate::entity::{self, EntityName};
use crate::files::{LayerFiles, PolicyFiles};
use crate::policies::{ColumnClass, Policies, PortEntry};
use crate::rule::{Layer, Rule, parse_file};
use crate::schema::{self, Columns};
use crate::validate::{self, Closed};
use crate::warnings;

/// The largest number of rules and agreements of a product or of the mesh.
const MAX_RULES: usize = 10_000;

/// The errors and warnings of policies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The errors, in the order of their places. Each closes ports, unless it is about a file that no product has.
    pub errors: Vec<Diagnostic>,
    /// The warnings, in the order of their places.
    pub warnings: Vec<Warning>,
}

impl Policies {
    /// Reads the policies of all products below `products` and of the folder `mesh`, and resolves them.
    /// [`PolicyFiles::read`] states where the files are.
    pub fn load(catalog: &DomainCatalog, products: &Path, mesh: Option<&Path>) -> (Self, Report) {
        Self::new(catalog, &PolicyFiles::read(catalog, products, mesh))
    }

    /// Resolves policies for a catalog. The catalog should have the schemas of the open sources: a port without types
    /// of columns can be described, but not read.
    pub fn new(catalog: &DomainCatalog, files: &PolicyFiles) -> (Self, Report) {
        let mut report = Report { errors: files.stray.clone(), warnings: vec![] };
        let mut closed = Closed::default();
        let mut policies = Self {
            version: version(catalog, files),
            rules: vec![],
            product_rules: BTreeMap::new(),
            mesh_rules: 0..0,
            agreements: vec![],
            ports: BTreeMap::new(),
            column_schema: schema::of_columns().ok(),
            mask_key: files.mask_key.clone(),
        };
        for product in catalog.products.values() {
            let Some(layer) = files.products.get(&product.name) else { continue };
            let (rules, agreements, errors) = parse_layer(layer, Some(product), catalog);
            if !errors.is_empty() {
                closed.ports.extend(product.ports.values().map(|port| port.name.clone()));
            }
            report.errors.extend(errors);
            let first = policies.rules.len();
            policies.rules.extend(rules);
            policies.product_rules.insert(product.name.clone(), first..policies.rules.len());
            policies.agreements.extend(agreements);
        }
        let (mesh_rules, mesh_agreements, errors) = parse_layer(&files.mesh, None, catalog);
        closed.all = !errors.is_empty();
        report.errors.extend(errors);
        let (first_mesh_rule, first_mesh_agreement) = (policies.rules.len(), policies.agreements.len());
        policies.rules.extend(mesh_rules);
        policies.mesh_rules = first_mesh_rule..policies.rules.len();
        policies.agreements.extend(mesh_agreements);

        for product in catalog.products.values() {
            let own = policies.product_rules.get(&product.name).cloned().unwrap_or_default();
            let rules: Vec<usize> = own.chain(policies.mesh_rules.clone()).collect();
            for port in product.ports.values() {
                let mut entry = PortEntry::new(product, port, &rules, &policies.rules);
                entry.has_product_layer = files.products.contains_key(&product.name);
                let about = |i: &usize| policies.agreements[*i].port == port.name;
                entry.agreements = (0..policies.agreements.len()).filter(about).collect();
                entry.has_mesh_permit = entry.agreements.iter().any(|i| *i >= first_mesh_agreement)
                    || entry.rules.iter().any(|i| *i >= first_mesh_rule && policies.rules[*i].is_permit);
                policies.ports.insert(port.name.clone(), entry);
            }
        }
        let doubts = validate::validate(&mut policies, catalog, &mut closed, &mut report.errors);
        for (name, entry) in &mut policies.ports {
            if closed.all || closed.ports.contains(name) {
                entry.closed = Some(closed_message(name, entry.owner.as_deref()));
            }
        }
        report.warnings = warnings::of(&policies, catalog, &doubts);
        let of_products = files.products.values().flat_map(|layer| &layer.policies);
        report.warnings.extend(of_products.filter_map(|file| {
            let is_about = |place: &Place| place.file == file.path;
            let is_empty = !policies.rules.iter().any(|rule| is_about(&rule.place))
                && !report.errors.iter().any(|error| is_about(&error.place));
            let place = Place { file: file.path.clone(), ..Place::default() };
            let message = "the file has no policy, but the ports deny by default because of it".to_owned();
            is_empty.then(|| Warning { subject: file.path.display().to_string(), place: Some(place), message })
        }));
        report.errors.sort_by(|a, b| (&a.place.file, a.place.line).cmp(&(&b.place.file, b.place.line)));
        report.errors.dedup();
        (policies, report)
    }
}

impl PortEntry {
    fn new(product: &Product, port: &Port, candidates: &[usize], rules: &[Rule]) -> Self {
        let entity = EntityName::new(entity::entity_type(&port.name), port.name.to_string());
        let ancestors = entity::port_ancestors(product, port);
        let admits = |i: &usize| rules[*i].scope.admits_port(&entity, &ancestors);
        Self {
            columns: Columns::of(port),
            schema: None,
            owner: product.owner.clone(),
            is_opened: port.columns.iter().all(|column| column.data_type.is_some()),
            has_product_layer: false,
            has_mesh_permit: false,
            rules: candidates.iter().copied().filter(admits).collect(),
            agreements: vec![],
            classes: classes(port, candidates, rules),
            closed: None,
            entity,
            ancestors,
        }
    }
}

/// Returns the classes of a port's columns that some rule may match.
fn classes(port: &Port, candidates: &[usize], rules: &[Rule]) -> Vec<ColumnClass> {
    let named: BTreeSet<&str> = candidates
        .iter()
        .flat_map(|i| rules[*i].mentions.entities.iter())
        .filter(|uid| uid.ty.to_string() == entity::COLUMN)
        .map(|uid| uid.eid.as_str())
        .collect();
    /// Ancestors, own name if a rule names the column, and rules.
    type Class = (BTreeSet<EntityName>, Option<String>, Vec<usize>);
    let mut classes: BTreeMap<Class, Vec<String>> = BTreeMap::new();
    for column in &port.columns {
        let (entity, ancestors) =
            (entity::column_entity(&port.name, &column.name), entity::column_ancestors(&port.name, column));
        let admitted = candidates.iter().copied().filter(|i| rules[*i].scope.admits_column(&entity, &ancestors));
        let admitted: Vec<usize> = admitted.filter(|i| !rules[*i].is_permit).collect();
        if admitted.is_empty() {
            continue;
        }
        let own = named.contains(entity.id.as_str()).then_some(entity.id);
        classes.entry((ancestors, own, admitted)).or_default().push(column.name.clone());
    }
    classes
        .into_iter()
        .map(|((ancestors, _, rules), columns)| {
            let first = columns.first().map(String::as_str).unwrap_or_default();
            ColumnClass { entity: entity::column_entity(&port.name, first), columns, ancestors, rules }
        })
        .collect()
}

fn parse_layer(
    files: &LayerFiles,
    product: Option<&Product>,
    catalog: &DomainCatalog,
) -> (Vec<Rule>, Vec<Agreement>, Vec<Diagnostic>) {
    let layer = if product.is_some() { Layer::Product } else { Layer::Mesh };
    let mut errors = files.errors.clone();
    let mut rules: Vec<Rule> = vec![];
    for file in &files.policies {
        rules.extend(parse_file(layer, &file.path, &file.text, &mut errors));
        if rules.len() > MAX_RULES {
            let place = Place { file: file.path.clone(), ..Default::default() };
            errors.push(Diagnostic::new(place, format!("more than {MAX_RULES} policies")));
            rules.truncate(MAX_RULES);
            break;
        }
    }
    let mut first: BTreeMap<&str, &Rule> = BTreeMap::new();
    for rule in rules.iter().filter(|rule| rule.is_named()) {
        match first.get(rule.name.as_str()) {
            Some(other) => errors.push(rule.wrong(format!("the policy `{}` is also at {}", rule.name, other.place))),
            None => drop(first.insert(&rule.name, rule)),
        }
    }
    let mut agreements = vec![];
    for file in &files.agreements {
        match agreement::parse(&file.text, &file.path, catalog, product.map(|p| &p.name)) {
            Ok(agreement) => agreements.extend(agreement),
            Err(found) => errors.extend(found),
        }
    }
    (rules, agreements, errors)
}

pub(crate) fn closed_message(port: &PortRef, owner: Option<&str>) -> String {
    let owner = owner.map(|owner| format!(" (`{owner}`)")).unwrap_or_default();
    format!("the port `{port}` is closed: its policies have errors; ask the owner{owner} to fix them")
}

/// Returns a digest of the policies and of what they are resolved to.
fn version(catalog: &DomainCatalog, files: &PolicyFiles) -> String {
    let mut digest = Sha256::new();
    let mut add = |part: &str| {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    };
    for file in files.all() {
        add(&file.path.to_string_lossy());
        add(&file.text);
    }
    for product in catalog.products.values() {
        add(&format!("{:?}", (&product.name, &product.owner, &product.tags)));
        for port in product.ports.values() {
            add(&format!("{:?}", (&port.name, &port.tags)));
            for column in &port.columns {
                let types = (&column.data_type, column.nullable, &column.logical_type);
                add(&format!("{:?}", (&column.name, types, &column.classification, &column.tags)));
            }
        }
    }
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
