//! The bounds of what descriptors reach: the folders of local files, the files of the node itself, and the places that
//! credentials go to.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use portolan_catalog::nearest::nearest;
use portolan_catalog::yaml::{self, Document, pointer_token};
use portolan_catalog::{Diagnostic, Place, Port};
use portolan_connectors::databases::DatabaseSources;
use portolan_connectors::files::FileSources;
use portolan_connectors::{OpenOptions, OptionFault, Sources};

use super::NodeConfig;
use super::check::Check;

impl NodeConfig {
    /// Returns the opener of the ports over files. Local files must be in the config's folder or in the `products`
    /// folder, unless their source has a `root`.
    pub(crate) fn file_sources(&self) -> FileSources {
        FileSources::new(self.sources.clone()).within(self.data_folders(), self.own_files())
    }

    /// Returns the opener of the ports over databases. The bounds of local files hold for the files of SQLite.
    pub(crate) fn database_sources(&self) -> DatabaseSources {
        DatabaseSources::new(self.sources.clone()).within(self.data_folders(), self.own_files())
    }

    /// Gives the openers of all kinds of sources the options of this config.
    pub(crate) fn configure(&self, sources: Sources) -> Sources {
        sources.with_files(self.file_sources()).with_databases(self.database_sources())
    }

    /// Returns the folders of local files.
    fn data_folders(&self) -> Vec<PathBuf> {
        let products = self.products_folder().map(Path::to_path_buf);
        self.folder().into_iter().chain(products).collect()
    }

    /// True if each port opens in the same way under both configs.
    pub(crate) fn opens_ports_as(&self, other: &Self) -> bool {
        self.sources == other.sources && self.hides_as(other)
    }

    /// True if `port` opens in the same way under both configs: with the same options of its source, and with the same
    /// files that are never data.
    pub(crate) fn opens_as(&self, other: &Self, port: &Port) -> bool {
        let Some(source) = &port.source else { return false };
        let has_same_options = self.sources.get(&source.server) == other.sources.get(&source.server);
        has_same_options && (!port.has_local_files() || self.hides_as(other))
    }

    /// True if the same local files are never data under both configs.
    fn hides_as(&self, other: &Self) -> bool {
        let hidden = |config: &Self| config.own_files().into_iter().collect::<BTreeSet<_>>();
        hidden(self) == hidden(other)
    }

    /// Returns the time limit for opening a port.
    pub fn open_timeout(&self) -> Duration {
        self.open_timeout.map_or(OpenOptions::default().timeout, |length| length.0)
    }

    /// Returns a fault for each source with options whose name is not among `servers`, those that the contracts name.
    pub(crate) fn unused_sources(&self, servers: &BTreeSet<String>) -> Vec<Diagnostic> {
        let names: BTreeSet<&String> = self.sources.keys().filter(|name| !servers.contains(*name)).collect();
        let file = self.file.as_deref().unwrap_or(Path::new(""));
        // The file may have changed since it was loaded: the line is the best guess.
        let text = if names.is_empty() { None } else { yaml::read(file).ok() };
        let document = text.and_then(|text| Document::parse(&text, file).ok());
        let fault = |name: &String| {
            let pointer = format!("/sources/{}", pointer_token(name));
            let place = document.as_ref().map(|document| document.place(&document.steps(&pointer)));
            let field = format!("sources.{name}");
            Diagnostic {
                place: place.unwrap_or_else(|| Place { file: file.to_path_buf(), line: None, field }),
                message: format!(
                    "no contract has a server of the name `{name}`: correct the name, or remove the entry"
                ),
                suggestion: nearest(name, servers.iter().map(String::as_str)).map(str::to_owned),
            }
        };
        names.into_iter().map(fault).collect()
    }

    pub(super) fn check_sources(&self, check: &mut Check<'_>) {
        for (server, options) in self.sources.iter().collect::<BTreeMap<_, _>>() {
            let at = |key: &str| format!("/sources/{}/{key}", pointer_token(server));
            check.folder(&at("root"), options.root.as_deref());
            for (store, key) in options.unbound() {
                let message = format!("`{key}` is missing: the {key} that these credentials may go to");
                check.report_missing(&at(store), &message);
            }
            for OptionFault { key, message } in options.database.faults() {
                check.report(&at(&format!("database/{key}")), &message);
            }
            check.file(&at("database/ca"), options.database.ca.as_deref());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;
    use std::sync::Arc;

    use portolan_catalog::{
        Column, DatabaseAddress, DatabaseKind, DatabaseRelation, DatabaseSource, DomainName, FileFormat, FileSource,
        PortRef, PortSource, SourceKind, TextFormat,
    };
    use portolan_connectors::SourceOpener;

    use super::*;

    /// Opens a port over `location`, a path that starts from the folder `products`.
    async fn open(config: &NodeConfig, location: &str) -> Result<(), String> {
        let mut port = Port::new(PortRef::new("sales", "orders", "orders"));
        port.columns.push(Column::new("id"));
        let files = FileSource {
            location: location.to_owned(),
            base: config.products_folder().unwrap().to_path_buf(),
            format: FileFormat::Csv,
            delimiter: None,
            has_header: true,
            partition_columns: vec![],
            endpoint: None,
            text: TextFormat::default(),
            columns: BTreeMap::new(),
        };
        port.source = Some(PortSource {
            server: "files".to_owned(),
            kind: SourceKind::Files(files),
            declared_at: BTreeMap::new(),
            place: Place::default(),
        });
        let opened = config.file_sources().open(&port, &Arc::default()).await;
        opened.map(drop).map_err(|e| e.to_string())
    }

    /// Returns a port over `location`.
    fn port(location: &str) -> Port {
        let mut port = Port::new(PortRef::new("sales", "orders", "orders"));
        port.source = Some(PortSource {
            server: "lake".to_owned(),
            kind: SourceKind::Files(FileSource::new(location, "/srv", FileFormat::Csv)),
            declared_at: BTreeMap::new(),
            place: Place::default(),
        });
        port
    }

    #[test]
    fn a_port_opens_in_another_way_if_its_source_or_the_own_files_have_changed() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("keys.json"), "{}").unwrap();
        let config = |text: &str| NodeConfig::parse(text, &folder.path().join("node.yaml")).unwrap();
        let plain = config("sources: {lake: {max_files: 3}, web: {max_files: 4}}\n");
        let (local, remote) = (port("a.csv"), port("s3://bucket/a.csv"));
        assert!(plain.opens_ports_as(&plain.clone()) && plain.opens_as(&plain.clone(), &local));
        // Other options of the source.
        for text in ["sources: {lake: {max_files: 5}, web: {max_files: 4}}\n", "{}\n"] {
            let other = config(text);
            assert!(!other.opens_ports_as(&plain) && !other.opens_as(&plain, &local), "{text}");
            assert!(!other.opens_as(&plain, &remote), "{text}");
        }
        let other = config("sources: {lake: {max_files: 3}}\n");
        assert!(!other.opens_ports_as(&plain) && other.opens_as(&plain, &local));
        // Other files of the node itself.
        let tokens = "tokens: [{issuer: a, audience: b, jwks: keys.json}]\n";
        let other = config(&format!("sources: {{lake: {{max_files: 3}}, web: {{max_files: 4}}}}\n{tokens}"));
        assert!(!other.opens_ports_as(&plain) && !other.opens_as(&plain, &local) && other.opens_as(&plain, &remote));
        // The file of SQLite is a local file, and a server is not.
        let in_database = |address: DatabaseAddress| {
            let mut port = port("a.csv");
            let relation = DatabaseRelation::Table { schema: None, name: "t".to_owned() };
            let (kind, names, types, physical_types) =
                (DatabaseKind::Sqlite, BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
            let database = DatabaseSource { kind, address, relation, names, types, physical_types };
            port.source = port.source.map(|source| PortSource { kind: SourceKind::Database(database), ..source });
            port
        };
        let file = in_database(DatabaseAddress::File { path: "a.db".to_owned(), base: "/srv".into() });
        let host = "db".to_owned();
        let server = in_database(DatabaseAddress::Server { host, port: 1, database: "a".to_owned() });
        assert!(!other.opens_as(&plain, &file) && other.opens_as(&plain, &server));
        // A port without a source has none to open.
        assert!(!plain.opens_as(&plain.clone(), &Port::new(PortRef::new("sales", "orders", "orders"))));
    }

    #[tokio::test]
    async fn data_is_in_the_folder_of_the_config_or_in_the_root() {
        let folder = tempfile::tempdir().unwrap();
        for path in ["node/products", "node/data", "elsewhere"] {
            fs::create_dir_all(folder.path().join(path)).unwrap();
        }
        for file in ["node/data/a.csv", "node/products/b.csv", "elsewhere/c.csv", "node/key.csv", "node/node.yaml"] {
            fs::write(folder.path().join(file), "id\n1\n").unwrap();
        }
        let config = |text: &str| NodeConfig::parse(text, &folder.path().join("node/node.yaml")).unwrap();
        let plain = config("domain: sales\n");
        open(&plain, "../data/a.csv").await.unwrap();
        open(&plain, "b.csv").await.unwrap();
        let refused = open(&plain, "../../elsewhere/c.csv").await.unwrap_err();
        assert!(refused.contains("`sources.files.root`"), "{refused}");
        let rooted = config("domain: sales\nsources: {files: {root: ../elsewhere}}\n");
        open(&rooted, "../../elsewhere/c.csv").await.unwrap();
        assert!(open(&rooted, "../data/a.csv").await.is_err());

        // The files of the node are in its folder, and are no data.
        let web = config("domain: sales\nsources: {lake: {http: {password: {file: key.csv}, hosts: [a]}}}\n");
        let cloud = config("domain: sales\nsources: {lake: {gcs: {service_account_path: key.csv, buckets: [a]}}}\n");
        for (config, own) in [(&web, "../key.csv"), (&cloud, "../key.csv"), (&web, "../node.yaml")] {
            let refused = open(config, own).await.unwrap_err();
            assert!(refused.contains("a file of the node itself"), "{own}: {refused}");
        }
        open(&plain, "../key.csv").await.unwrap();

        // So are the files that it keeps, wherever they are.
        let here = config("domain: sales\nstate_folder: .\n");
        for (config, kept) in [(&plain, "node.state/owners.csv"), (&here, "owners.json"), (&here, "node-key.pem")] {
            let file = folder.path().join("node").join(kept);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "id\n1\n").unwrap();
            let refused = open(config, &format!("../{kept}")).await.unwrap_err();
            assert!(refused.contains("a file of the node itself"), "{kept}: {refused}");
        }
        open(&here, "../data/a.csv").await.unwrap();

        // A program has no config file.
        let program = NodeConfig {
            domain: Some(DomainName::new("sales")),
            products: Some(folder.path().join("node/products")),
            ..NodeConfig::default()
        };
        open(&program, "b.csv").await.unwrap();
        assert!(open(&program, "../data/a.csv").await.is_err());
    }
}
