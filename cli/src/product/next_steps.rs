//! The commands that come after a product or a node was created.

use std::path::Path;

use portolan_catalog::printable;
use portolan_node::NodeConfig;
use portolan_node::draft::identifier;

/// The node whose commands are shown.
#[derive(Clone, Copy, Debug)]
pub struct NextSteps<'a> {
    /// The config of the node, if there is one.
    pub config: Option<&'a NodeConfig>,
    /// The file of the config.
    pub config_file: Option<&'a Path>,
    /// The domain, or the name of the gateway.
    pub domain: &'a str,
}

impl NextSteps<'_> {
    /// Returns the commands that check, serve and query. `port` is the full name of a port, if there is one.
    pub fn text(&self, port: Option<[&str; 3]>) -> String {
        let (Some(config), Some(file)) = (self.config, self.config_file) else {
            return format!(
                "There is no node.yaml here. To create a node:\n  portolan init --domain {}\n",
                argument(self.domain)
            );
        };
        let file = argument(&file.display().to_string());
        let query = match port {
            Some(names) => format!("SELECT * FROM {} LIMIT 10", names.map(sql_name).join(".")),
            None => "SELECT * FROM mesh.ports".to_owned(),
        };
        format!(
            "To check, serve and query it:\n  portolan serve --check --config {file}\n  portolan serve --config {file}\n  \
             portolan sql {} -c {}\n",
            login(config),
            argument(&query)
        )
    }
}

/// Returns the arguments that connect to a node.
fn login(config: &NodeConfig) -> String {
    let scheme = if config.tls.is_some() { "grpc+tls" } else { "grpc" };
    let url = match config.listen.rsplit_once(':') {
        // The node prints its port when it is ready.
        Some((_, "0")) => "URL".to_owned(),
        Some(("0.0.0.0" | "[::]", port)) => format!("{scheme}://localhost:{port}"),
        _ => format!("{scheme}://{}", config.listen),
    };
    let mut arguments = format!("--url {}", argument(&url));
    if let Some(user) = config.users.iter().find(|user| user.password_hash.is_some()) {
        arguments.push_str(&format!(" --user {}", argument(&user.name)));
    }
    let authority = config.tls.as_ref().map(|tls| tls.cert.with_file_name("ca.pem")).filter(|file| file.exists());
    if let Some(authority) = authority {
        arguments.push_str(&format!(" --ca {}", argument(&authority.display().to_string())));
    }
    arguments
}

/// Returns a name as SQL needs it.
fn sql_name(name: &str) -> String {
    if identifier(name) == name { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// Returns an argument of a shell, between quotes if it needs them.
pub fn argument(text: &str) -> String {
    let text = printable(text);
    let is_usual = |c: char| c.is_ascii_alphanumeric() || "_-./:+@=".contains(c);
    if !text.is_empty() && text.chars().all(is_usual) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn commands_can_be_pasted() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("products")).unwrap();
        let file = folder.path().join("node.yaml");
        let hash = portolan_flight_server::hash_password("secret").unwrap();
        let text = format!("domain: shop\nusers: [{{name: ann, password_hash: '{hash}'}}]\n");
        let config = NodeConfig::parse(&text, &file).unwrap();
        let steps = NextSteps { config: Some(&config), config_file: Some(Path::new("my node.yaml")), domain: "shop" };
        assert_eq!(
            steps.text(Some(["shop", "Der Laden", "orders"])),
            "To check, serve and query it:\n  portolan serve --check --config 'my node.yaml'\n  portolan serve --config \
             'my node.yaml'\n  portolan sql --url grpc://127.0.0.1:50051 --user ann -c 'SELECT * FROM shop.\"Der \
             Laden\".orders LIMIT 10'\n"
        );
        assert!(steps.text(None).ends_with("-c 'SELECT * FROM mesh.ports'\n"));
        assert_eq!(argument("it's"), "'it'\\''s'");
    }
}
