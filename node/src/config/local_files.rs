//! The files of the node's machine that statements may name, as in `SELECT … FROM 'data.csv'`.

use std::path::{Path, PathBuf};

use portolan_connectors::files::StatementFiles;
use serde::Deserialize;

use super::NodeConfig;
use super::check::Check;

/// The files that statements may name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "expected `true`, `false` or a folder")]
pub enum LocalFilesConfig {
    /// Every file that the process can read, or none.
    All(bool),
    /// The files in a folder.
    Folder(PathBuf),
}

impl LocalFilesConfig {
    fn folder(&self) -> Option<&Path> {
        match self {
            Self::Folder(folder) => Some(folder),
            Self::All(_) => None,
        }
    }

    pub(super) fn folder_mut(&mut self) -> Option<&mut PathBuf> {
        match self {
            Self::Folder(folder) => Some(folder),
            Self::All(_) => None,
        }
    }
}

impl NodeConfig {
    /// Returns the opener of the files that statements may name, if they may name any. `by_default` is true if they may
    /// name every file unless the config says otherwise. The files of the node itself are never among them.
    pub(crate) fn statement_files(&self, by_default: bool) -> Option<StatementFiles> {
        let allowed = self.local_files.clone().unwrap_or(LocalFilesConfig::All(by_default));
        match allowed {
            LocalFilesConfig::All(false) => None,
            LocalFilesConfig::All(true) => Some(StatementFiles::new(None, self.own_files())),
            LocalFilesConfig::Folder(folder) => Some(StatementFiles::new(Some(folder), self.own_files())),
        }
    }

    /// True if statements may name every file that the process can read.
    pub(crate) fn reads_every_file(&self, by_default: bool) -> bool {
        self.local_files.as_ref().map_or(by_default, |allowed| *allowed == LocalFilesConfig::All(true))
    }

    pub(super) fn check_local_files(&self, check: &mut Check<'_>) {
        check.folder("/local_files", self.local_files.as_ref().and_then(LocalFilesConfig::folder));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;
    use std::sync::Arc;

    use portolan_connectors::{FileReference, LocalFileOpener};

    use super::*;

    async fn open(files: &StatementFiles, location: &str) -> Result<(), String> {
        let file = FileReference {
            name: format!("'{location}'"),
            location: location.to_owned(),
            format: None,
            delimiter: None,
            has_header: None,
        };
        files.open(&file, &Arc::default()).await.map(drop).map_err(|e| e.chain())
    }

    #[tokio::test]
    async fn statements_read_what_the_config_allows() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        fs::create_dir(folder.path().join("shared")).unwrap();
        for file in ["shared/a.csv", "b.csv", "shared/key.csv"] {
            fs::write(folder.path().join(file), "id\n1\n").unwrap();
        }
        let config = |text: &str| NodeConfig::parse(text, &folder.path().join("node.yaml")).unwrap();
        assert!(config("{}").statement_files(false).is_none());
        assert!(config("local_files: false").statement_files(true).is_none());
        for (text, by_default) in [("{}", true), ("local_files: true", false)] {
            let files = config(text).statement_files(by_default).unwrap();
            open(&files, &path("b.csv")).await.unwrap();
            open(&files, &path("shared/*.csv")).await.unwrap();
        }
        let config =
            config("local_files: shared\nsources: {lake: {http: {password: {file: shared/key.csv}, hosts: [a]}}}\n");
        let files = config.statement_files(false).unwrap();
        open(&files, "a.csv").await.unwrap();
        open(&files, &path("shared/a.csv")).await.unwrap();
        for outside in ["../b.csv", &path("b.csv"), "/etc/passwd.csv", "../nothing.csv"] {
            let error = open(&files, outside).await.unwrap_err();
            assert!(error.contains("`local_files`"), "{outside}: {error}");
        }
        let error = open(&files, "key.csv").await.unwrap_err();
        assert!(error.contains("a file of the node itself"), "{error}");
        // Clients do not see where the folder is.
        let error = open(&files, "nothing.csv").await.unwrap_err();
        assert!(error.starts_with("nothing.csv cannot be read"), "{error}");
    }

    #[test]
    fn a_folder_is_not_every_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("node.yaml");
        let every = |text: &str, by_default| NodeConfig::parse(text, &file).unwrap().reads_every_file(by_default);
        for text in ["local_files: false", "local_files: ."] {
            assert!(!every(text, false) && !every(text, true), "{text}");
        }
        assert!(!every("{}", false) && every("{}", true) && every("local_files: true", false));
        let error = NodeConfig::parse("local_files: nowhere\n", &file).unwrap_err().to_string();
        assert!(error.contains("node.yaml:1: local_files: cannot read the folder"), "{error}");
        let error = NodeConfig::parse("local_files: [a]\n", &file).unwrap_err().to_string();
        assert!(error.contains("expected `true`, `false` or a folder"), "{error}");
    }
}
