//! The programs, each over one client: how they are called, and what they say.

use std::path::Path;
use std::process::{Command, Stdio};

use portolan_tests::node::{kept_folder, output};
use portolan_tests::{go, java, npm, python};

use super::servers::{PASSWORD, Servers, USER};
use super::table::Client;

/// Where the programs in Python lie.
const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/e2e/clients/python");
/// Flags of programs that know every way to connect; the others know the first of them.
const FLAGS: &[&str] = &[
    "url",
    "user",
    "password",
    "anonymous",
    "token",
    "token-user",
    "tls",
    "ca",
    "mtls",
    "cert",
    "key",
    "oauth",
    "token-uri",
    "client-id",
    "client-secret",
    "writable",
];
/// Up to these flags: TLS, certificates, everything.
const TLS: usize = 8;
const CERTIFICATES: usize = 11;
const EVERYTHING: usize = FLAGS.len();
/// What the Java program tries once it is logged in by a password.
const JAVA: &str = "connect-password,browsing,types,zones,reading,parameters,stopping,writing,sessions";

/// One client, and how it is tried.
pub enum Program {
    /// A program, what stands before the names of its flags, and how many of [`FLAGS`] it has.
    Flags(&'static str, Box<Command>, &'static str, usize),
    /// The JDBC driver, in this version.
    Jdbc(String),
}

/// All of them, in the order of the table; `None` for one that cannot be run here.
pub fn all() -> Vec<Option<Program>> {
    let mut all = vec![];
    let python = python::python();
    for script in
        ["adbc_flightsql", "pandas_adbc", "polars_adbc", "duckdb_adbc", "superset_flightsql", "pyarrow_flight"]
    {
        all.push(python.as_ref().map(|python| {
            let mut command = Command::new(python);
            command.arg("-B").arg(Path::new(PYTHON).join(script).with_extension("py"));
            Program::Flags(script, Box::new(command), "--", EVERYTHING)
        }));
    }
    for version in java::versions() {
        all.push(java::program(&version).map(|_| Program::Jdbc(version)));
    }
    for (name, flags) in [("adbc", EVERYTHING), ("database", CERTIFICATES), ("flight", CERTIFICATES)] {
        all.push(
            go::programs().map(|folder| Program::Flags(name, Box::new(Command::new(folder.join(name))), "-", flags)),
        );
    }
    for script in ["gizmosql", "lakehouse"] {
        all.push(npm::scripts().map(|folder| {
            let mut command = Command::new("node");
            command.arg(folder.join(script).with_extension("js"));
            Program::Flags(script, Box::new(command), "--", TLS)
        }));
    }
    all
}

impl Program {
    /// Runs it to its end, which must be a good one; the error is all that it said. `nth` tells programs apart.
    pub fn run(self, servers: &Servers, nth: usize) -> Result<Client, String> {
        let started = std::time::Instant::now();
        let (name, said) = match self {
            Self::Flags(name, mut command, dashes, known) => {
                for flag in &FLAGS[..known] {
                    command.arg(format!("{dashes}{flag}")).arg(servers.flag(flag, nth));
                }
                // GizmoSQL's client takes whom it trusts from here alone; others must do without.
                if name == "gizmosql" {
                    command.env("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", servers.flag("ca", nth));
                }
                (name.to_owned(), finish(name, *command)?)
            }
            Self::Jdbc(version) => (format!("jdbc-{version}"), jdbc(&version, servers)?),
        };
        eprintln!("{name} took {:?}", started.elapsed());
        // For whoever wants to look at it afterwards.
        std::fs::write(kept_folder("clients").join(format!("{name}.txt")), &said).unwrap();
        Ok(Client::parse(&said))
    }
}

/// What a program says that ends well.
fn finish(name: &str, mut command: Command) -> Result<String, String> {
    command.stdin(Stdio::null());
    let (code, out, err) = output(command);
    match (code, out.lines().last()) {
        (Some(0), Some("fine")) => Ok(out),
        _ => {
            // Drivers log whole traces: what the program itself says of the failure stands first.
            let failed: Vec<_> = err.lines().filter(|line| line.starts_with("failed ")).collect();
            Err(format!("{name} ended with {code:?}; {}\n{out}{err}", failed.join("; ")))
        }
    }
}

/// The driver for JDBC is asked anew for each way to connect.
fn jdbc(version: &str, servers: &Servers) -> Result<String, String> {
    let given = |property: &str, flag: &str| format!("{property}={}", servers.flag(flag, 0));
    let log_in = || vec![format!("user={USER}"), format!("password={PASSWORD}")];
    let with_tls = || vec!["useEncryption=true".to_owned(), given("tlsRootCerts", "ca")];
    let certificate = || vec![given("clientCertificate", "cert"), given("clientKey", "key")];
    let oauth = vec![
        "oauth.flow=client_credentials".to_owned(),
        given("oauth.tokenUri", "token-uri"),
        given("oauth.clientId", "client-id"),
        given("oauth.clientSecret", "client-secret"),
    ];
    let ways = [
        (JAVA, "plain", log_in()),
        ("connect-anonymous", "anonymous", vec![]),
        ("connect-token", "url", vec![given("token", "token")]),
        ("connect-token-as-password", "url", vec![given("token", "token"), format!("user={USER}")]),
        ("connect-tls", "tls", [with_tls(), log_in()].concat()),
        ("connect-mtls", "tls", [with_tls(), certificate()].concat()),
        ("connect-oauth", "tls", [with_tls(), oauth].concat()),
    ];
    let mut said = format!("client JDBC {version}\n");
    for (features, flag, properties) in ways {
        let mut command = java::program(version).expect("it was there before");
        let url = servers.flag(flag, 0);
        let (host, port) = url.rsplit_once('/').and_then(|(_, address)| address.split_once(':')).unwrap();
        command.arg(features).arg(format!("host={host}")).arg(format!("port={port}")).args(properties);
        said += &finish(&format!("JDBC {version}"), command)?;
    }
    Ok(said)
}
