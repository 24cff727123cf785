//! Files with secrets that every user of the machine can read: keys, the secrets of sources, and the config itself.

use std::collections::BTreeSet;
use std::path::Path;

use portolan_connectors::SourceOptions;

use super::NodeConfig;

impl NodeConfig {
    /// Returns a warning for each file with a secret that every user of the machine can read or change. Access of the
    /// file's group is usual in containers, and no reason for a warning. On systems without Unix permissions, there is
    /// none.
    pub fn exposed_files(&self) -> Vec<String> {
        let keys = self.node.key.iter().chain(self.tls.iter().map(|tls| &tls.key));
        let keys = keys.chain(self.peers.iter().filter_map(|peer| peer.key.as_ref()));
        let kept = self.kept_key_file();
        let secrets = self.sources.values().flat_map(SourceOptions::secret_files);
        let own = self.file.as_deref().filter(|_| self.has_inline_secrets());
        let files = keys.map(|path| path.as_path()).chain(kept.as_deref()).chain(secrets).chain(own);
        let files: BTreeSet<&Path> = files.collect();
        files
            .into_iter()
            .filter(|file| is_open_to_all(file))
            .map(|file| {
                let file = file.display();
                format!(
                    "every user of this machine can read or change {file}, which has a secret: run `chmod o= {file}`"
                )
            })
            .collect()
    }

    fn has_inline_secrets(&self) -> bool {
        self.peers.iter().any(|peer| peer.password.is_some())
            || self.sources.values().any(SourceOptions::has_inline_secrets)
    }
}

/// True if users other than the file's owner and group can read or change it.
#[cfg(unix)]
fn is_open_to_all(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(file).is_ok_and(|metadata| metadata.permissions().mode() & 0o007 != 0)
}

#[cfg(not(unix))]
fn is_open_to_all(_: &Path) -> bool {
    false
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// Returns the names of the files of a config that the node warns of, if each of its files has this mode.
    fn warned_of(config: &str, mode: u32) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let cert = "-----BEGIN CERTIFICATE-----\nc2VjcmV0\n-----END CERTIFICATE-----\n";
        for (name, content) in
            [("cert.pem", cert), ("key.pem", "secret"), ("node-key.pem", "secret"), ("token.txt", "secret")]
        {
            fs::write(folder.path().join(name), content).unwrap();
        }
        let file = folder.path().join("node.yaml");
        fs::write(&file, config).unwrap();
        for entry in fs::read_dir(folder.path()).unwrap() {
            fs::set_permissions(entry.unwrap().path(), Permissions::from_mode(mode)).unwrap();
        }
        let warnings = NodeConfig::load(&file).unwrap().exposed_files();
        let names = warnings.iter().map(|warning| {
            let path = warning.rsplit_once("chmod o= ").unwrap().1.trim_end_matches('`');
            assert!(!warning.contains("hunter2"), "{warning}");
            Path::new(path).strip_prefix(folder.path()).unwrap().display().to_string()
        });
        names.collect()
    }

    #[test]
    fn files_with_secrets_are_warned_of_if_everybody_can_read_them() {
        let tls = "tls: {cert: cert.pem, key: key.pem}\n";
        let login = "peers:\n- {url: 'grpc://127.0.0.1:1', user: me, password: hunter2}\n";
        let client = "peers:\n- {url: 'grpc+tls://a:1', ca: cert.pem, cert: cert.pem, key: key.pem}\n";
        let source = "sources: {files: {http: {bearer_token: {file: token.txt}, hosts: [a]}}}\n";
        let inline = "sources: {files: {http: {bearer_token: hunter2, hosts: [a]}}}\n";
        let database = "sources: {db: {database: {host: a, user: b, password: {file: token.txt}, ca: cert.pem}}}\n";
        let password = "sources: {db: {database: {host: a, user: b, password: hunter2}}}\n";
        let everything = format!("{tls}{client}{source}");
        let cases: [(&str, &[&str]); 10] = [
            ("{}", &[]),
            ("state_folder: .\n", &["node-key.pem"]),
            (tls, &["key.pem"]),
            (login, &["node.yaml"]),
            (client, &["key.pem"]),
            (source, &["token.txt"]),
            (inline, &["node.yaml"]),
            (database, &["token.txt"]),
            (password, &["node.yaml"]),
            (&everything, &["key.pem", "token.txt"]),
        ];
        for (config, expected) in cases {
            assert_eq!(warned_of(config, 0o644), expected, "{config}");
            assert_eq!(warned_of(config, 0o602), expected, "{config}");
            assert_eq!(warned_of(config, 0o660), [""; 0], "{config}");
            assert_eq!(warned_of(config, 0o600), [""; 0], "{config}");
        }
    }
}
