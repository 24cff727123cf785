//! Tests of the descriptors against the generated tables.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use portolan_catalog::{DomainEntry, DomainName, MeshSnapshot, ServedBy, load_domain};

use super::*;
use crate::tpch::{DOMAINS, TABLES, generate};

#[test]
fn the_descriptors_load_and_publish_every_table() {
    let folder = tempfile::tempdir().unwrap();
    // A path that has to be escaped in YAML.
    let data = folder.path().join("da\"ta");
    let mut ports = vec![];
    let mut mesh = MeshSnapshot::default();
    for domain in DOMAINS {
        let products = write(domain, &data, &folder.path().join(domain)).unwrap();
        let catalog = load_domain(&DomainName::new(domain), &products).unwrap();
        for port in catalog.ports() {
            let files = port.source.as_ref().unwrap().files().unwrap();
            assert_eq!(files.location, data.join(format!("{}.parquet", port.name.port)).display().to_string());
            assert!(!port.primary_key.is_empty(), "{}", port.name);
            assert!(port.columns.iter().all(|c| c.description.is_some() && !c.nullable), "{}", port.name);
            ports.push(port.name.to_string());
        }
        mesh.domains
            .insert(DomainName::new(domain), DomainEntry { catalog: Arc::new(catalog), served_by: ServedBy::Here });
    }
    let references: Vec<_> = mesh.ports().flat_map(|p| p.references.iter().map(move |r| (p, r))).collect();
    assert!(references.len() >= 9, "{}", references.len());
    for (port, reference) in references {
        assert!(mesh.referenced(&port.name, reference).is_some(), "{} {reference:?}", port.name);
    }
    let mut expected: Vec<_> = TABLES.iter().map(|t| format!("{}.{}.{}", t.domain, t.product, t.name)).collect();
    ports.sort();
    expected.sort();
    assert_eq!(ports, expected);
}

#[test]
fn the_contracts_name_the_columns_that_are_generated() {
    let folder = tempfile::tempdir().unwrap();
    for domain in DOMAINS {
        let products = write(domain, folder.path(), &folder.path().join(domain)).unwrap();
        let catalog = load_domain(&DomainName::new(domain), &products).unwrap();
        for port in catalog.ports() {
            let reader = generate::reader(port.name.port.as_str(), 0.001).unwrap();
            let schema = reader.schema();
            let generated: Vec<_> = schema.fields().iter().map(|f| f.name().as_str()).collect();
            let promised: Vec<_> = port.columns.iter().map(|c| c.name.as_str()).collect();
            assert_eq!(promised, generated, "{}", port.name);
        }
    }
}
