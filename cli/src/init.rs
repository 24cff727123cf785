//! `portolan init`: creates a node in a folder: the config, the products, a user, and what other nodes trust.

mod access;
mod authority;
mod config_text;
mod new_files;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use portolan_catalog::printable;
use portolan_connectors::node::{NodeKey, endpoint_url};
use portolan_node::draft::{ProductDraft, exists, exists_at, identifier};
use portolan_node::{Error, NodeConfig, Result};

use self::access::{new_password, trusted, user_default};
use self::authority::Authority;
use self::config_text::{AUTHORITY, CERTIFICATE, CERTIFICATE_KEY, NODE_KEY, NewNode, PUBLIC_KEY};
use self::new_files::{NewFile, NewFiles};
use crate::output::print;
use crate::password;
use crate::product::database::{has_password, untested_hint};
use crate::product::init::{ProductOptions, check_readable, folder_default, folder_name, lint_line, report};
use crate::product::next_steps::{NextSteps, argument};
use crate::product::{CONFIG, PRODUCTS};
use crate::questions::Questions;

/// Arguments of `portolan init`.
#[derive(Args, Clone, Debug)]
pub struct InitArgs {
    /// The folder of the node, which is created if it does not exist
    #[arg(value_name = "DIR", default_value = ".")]
    pub folder: PathBuf,
    /// The domain that the node serves [default: the name of the folder]
    #[arg(long, value_name = "NAME", conflicts_with = "gateway")]
    pub domain: Option<String>,
    /// Create a gateway: a node without a domain
    #[arg(long, conflicts_with_all = ["data", "from"])]
    pub gateway: bool,
    /// Draft a product from this data, as `portolan product init` does
    #[arg(long, value_name = "PATH", conflicts_with = "from")]
    pub data: Vec<String>,
    #[command(flatten)]
    product: ProductOptions,
    /// The address to listen on
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:50051")]
    pub listen: String,
    /// A name or an address by which other machines reach the node
    #[arg(long = "host", value_name = "NAME")]
    pub hosts: Vec<String>,
    /// Another node of the mesh
    #[arg(long = "peer", value_name = "URL")]
    pub peers: Vec<String>,
    /// A node that may send queries of its users: its name, and its public key or the PEM file with it
    #[arg(long = "trust", value_name = "NAME=KEY")]
    pub trusted: Vec<String>,
    /// The user who may log in. The password comes from PORTOLAN_PASSWORD or a prompt, or is generated
    #[arg(long, value_name = "NAME", conflicts_with = "anonymous")]
    pub user: Option<String>,
    /// Create no user: clients need no login
    #[arg(long)]
    pub anonymous: bool,
    /// Use TLS, with a certificate of a local authority
    #[arg(long)]
    pub tls: bool,
    /// The folder of the authority, which is created if it does not exist. The nodes of a mesh share one
    #[arg(long, value_name = "DIR", requires = "tls", default_value = "authority")]
    pub authority: PathBuf,
    /// Ask nothing: accept the defaults
    #[arg(long)]
    pub yes: bool,
}

/// Creates a node, checks it, and prints how to go on.
///
/// # Errors
/// Files that exist already: then nothing is written. Arguments that do not make a valid config; data that cannot be
/// read.
pub async fn init(args: InitArgs) -> Result<()> {
    let questions = Questions::new(args.yes);
    let mut node = args.node(questions)?;
    let draft = match &node.domain {
        Some(domain) if !args.data.is_empty() || args.product.database.from.is_some() => {
            Some(args.product.draft(&args.data, domain, questions, None).await?)
        }
        _ => None,
    };
    let access = draft.as_ref().and_then(ProductDraft::database);
    node.database = access.cloned();
    node.root = draft.as_ref().map(|draft| args.root(draft)).transpose()?.flatten();
    let mut files = args.files(&node)?;
    let products = args.folder.join(PRODUCTS);
    let product_folder = draft.as_ref().map(|draft| products.join(folder_name(draft.name())));
    check_new(&files, draft.as_ref().zip(product_folder.as_deref()))?;
    let generated = match node.user.take() {
        Some((user, _)) => {
            let (password, is_generated) = new_password(&user, questions)?;
            node.user = Some((user.clone(), password::hash(&password)?));
            is_generated.then_some((user, password))
        }
        None => None,
    };
    let file = args.folder.join(CONFIG);
    files.push(NewFile::private(file.clone(), node.text()));

    let mut new = NewFiles::default();
    let written = write(&args, &node, files, draft.as_ref().zip(product_folder.as_deref()), &mut new)?;
    let config = NodeConfig::load(&file)?;
    let domain = node.domain.as_deref().or(node.identity.as_deref()).unwrap_or_default();
    if let Some(draft) = draft.as_ref().filter(|draft| draft.database().is_none_or(has_password)) {
        check_readable(&config, domain, draft.name()).await?;
    }
    let lint = draft.as_ref().map(|draft| lint_line(domain, &products, draft.name())).transpose()?;
    new.keep();

    print(&written)?;
    print(&lint.unwrap_or_default())?;
    if let Some((user, password)) = generated {
        print(&format!("password of {}: {password} (it is stored nowhere: keep it)\n", printable(&user)))?;
    }
    if let Some(name) = &node.identity {
        let key = args.folder.join(PUBLIC_KEY);
        let trust = argument(&format!("{name}={}", key.display()));
        print(&format!("Other nodes trust this one with: --trust {trust}\n"))?;
    }
    let steps = NextSteps { config: Some(&config), config_file: Some(&file), domain };
    print(&access.map(untested_hint).unwrap_or_default())?;
    print(&steps.text(draft.as_ref().and_then(ProductDraft::first_port)))
}

impl InitArgs {
    /// Returns the node that the arguments and the answers describe, without the hash of the password.
    fn node(&self, questions: Questions) -> Result<NewNode> {
        let config = self.folder.join(CONFIG);
        if exists_at(&config) {
            return Err(exists(&[config]));
        }
        let default = folder_default(&self.folder);
        let domain = match self.gateway {
            true => None,
            false => Some(questions.text(self.domain.as_deref(), "domain", &default)?),
        };
        if domain.as_deref() == Some("") {
            return Err(Error::config("expected `--domain NAME`, or a folder with a name"));
        }
        let user = match self.anonymous {
            true => None,
            false => Some((questions.text(self.user.as_deref(), "user", &user_default())?, String::new())),
        };
        for url in &self.peers {
            endpoint_url(url).map_err(|e| Error::config(e.chain()))?;
            if url.starts_with("grpc+tls://") && !self.tls {
                return Err(Error::config(format!(
                    "the peer {url} needs `--tls`, whose authority signs its certificate"
                )));
            }
        }
        self.check_listen()?;
        let name = node_name(domain.as_deref().unwrap_or(&default));
        let scheme = if self.tls { "grpc+tls" } else { "grpc" };
        let port = self.listen.rsplit_once(':').map_or("", |(_, port)| port);
        Ok(NewNode {
            // A node signs what it sends to its peers.
            identity: (self.gateway || !self.peers.is_empty()).then_some(name),
            domain,
            listen: self.listen.clone(),
            root: None,
            database: None,
            user,
            is_anonymous: self.anonymous,
            has_tls: self.tls,
            audiences: self.hosts.iter().map(|host| format!("{scheme}://{host}:{port}")).collect(),
            peers: self.peers.clone(),
            trusted: self.trusted.iter().map(|text| trusted(text)).collect::<Result<_>>()?,
        })
    }

    /// Checks that other machines reach the node only over TLS, and a domain by a name: its node signs for this name.
    fn check_listen(&self) -> Result<()> {
        let Ok(address) = self.listen.parse::<SocketAddr>() else { return Ok(()) };
        let is_named = self.gateway || !address.ip().is_unspecified() || !self.hosts.is_empty();
        match address.ip().is_loopback() || (self.tls && is_named) {
            true => Ok(()),
            false => Err(Error::config(format!(
                "other machines reach a node that listens on {}: add `--tls`, and `--host NAME` with the name by which they \
                 reach it",
                self.listen
            ))),
        }
    }

    /// Returns the source whose local data is not in the folder of the node, and the folder of the data.
    fn root(&self, draft: &ProductDraft) -> Result<Option<(String, PathBuf)>> {
        let Some(data) = draft.data_folder() else { return Ok(None) };
        if self.folder.canonicalize().is_ok_and(|own| data.starts_with(own)) {
            return Ok(None);
        }
        if data.parent().is_none() {
            let message = "the folders of the data have nothing in common, and a node reads local files below one \
                           folder: move the data";
            return Err(Error::config(message));
        }
        Ok(Some((self.product.server_of(draft).to_owned(), data)))
    }

    /// Returns the new files besides the config and the product, with their text.
    fn files(&self, node: &NewNode) -> Result<Vec<NewFile>> {
        let mut files = vec![];
        let own = |name: &str| self.folder.join(name);
        if self.tls {
            let authority = Authority::open(&self.authority)?;
            let (certificate, key) = authority.certificate(&self.names())?;
            files.push(NewFile::public(own(AUTHORITY), authority.pem));
            files.push(NewFile::public(own(CERTIFICATE), certificate));
            files.push(NewFile::private(own(CERTIFICATE_KEY), key));
            if let Some([(file, pem), (key_file, key)]) = authority.new_files {
                files.push(NewFile::public(file, pem));
                files.push(NewFile::private(key_file, key));
            }
        }
        if node.identity.is_some() {
            let pem = NodeKey::generate().map_err(|e| Error::failed(e.chain()))?;
            let key = NodeKey::from_pem(pem.as_bytes()).map_err(|e| Error::failed(e.chain()))?;
            files.push(NewFile::private(own(NODE_KEY), pem));
            files.push(NewFile::public(own(PUBLIC_KEY), key.public().to_pem()));
        }
        Ok(files)
    }

    /// Returns the names and addresses of the node's certificate.
    fn names(&self) -> Vec<String> {
        let listen = self.listen.rsplit_once(':').map_or("", |(host, _)| host);
        let listen = listen.trim_start_matches('[').trim_end_matches(']');
        let is_wildcard = ["", "0.0.0.0", "::"].contains(&listen);
        let mut names: Vec<String> = self.hosts.clone();
        names.extend((!is_wildcard).then(|| listen.to_owned()));
        names.extend(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
        let mut distinct = vec![];
        for name in names {
            if !distinct.contains(&name) {
                distinct.push(name);
            }
        }
        distinct
    }
}

/// Returns the name of the node of a domain, which has no other letters than those of ASCII.
fn node_name(domain: &str) -> String {
    let name: String = identifier(domain).chars().map(|c| if c.is_ascii() { c } else { '_' }).collect();
    if name.is_empty() { "gateway".to_owned() } else { name }
}

/// Checks that no new file exists.
fn check_new(files: &[NewFile], product: Option<(&ProductDraft, &Path)>) -> Result<()> {
    let own = files.iter().map(|file| file.path.clone());
    let of_product = product.map(|(draft, folder)| draft.paths(folder)).unwrap_or_default();
    let existing: Vec<PathBuf> = own.chain(of_product).filter(|path| exists_at(path)).collect();
    if existing.is_empty() { Ok(()) } else { Err(exists(&existing)) }
}

/// Writes the files of the node, and returns what it wrote.
fn write(
    args: &InitArgs,
    node: &NewNode,
    files: Vec<NewFile>,
    product: Option<(&ProductDraft, &Path)>,
    new: &mut NewFiles,
) -> Result<String> {
    let products = args.folder.join(PRODUCTS);
    let folder = if node.domain.is_some() { &products } else { &args.folder };
    let folders = files.iter().filter_map(|file| file.path.parent());
    folders.chain([folder.as_path()]).chain(product.map(|(_, folder)| folder)).for_each(|path| new.add_folders(path));
    fs::create_dir_all(folder).map_err(|e| Error::output(folder.display(), e))?;
    let mut text = String::new();
    for file in files {
        file.write()?;
        text.push_str(&format!("wrote {}\n", printable(&file.path.display().to_string())));
        new.files.push(file.path);
    }
    if let Some((draft, folder)) = product {
        let written = draft.write(folder)?;
        text.push_str(&report(draft, &written));
        new.files.extend(written);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_has_the_name_of_its_domain_in_ascii() {
        for (domain, expected) in
            [("shop", "shop"), ("Größe 1", "gr__e_1"), ("Der Laden/x", "der_laden_x"), ("", "gateway"), ("日本", "__")]
        {
            assert_eq!(node_name(domain), expected);
        }
    }
}
