//! The programs, one for each client: how to run them, and their output.

use std::path::Path;
use std::process::{Command, Stdio};

use portolan_tests::node::{kept_folder, output};
use portolan_tests::{go, java, npm, python};

use super::servers::{PASSWORD, Servers, USER};
use super::table::Client;

/// The folder of the Python programs.
const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/e2e/clients/python");
/// The flags of programs that support every way to connect. Other programs have only the first ones.
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
/// The number of flags up to TLS, and up to certificates.
const TLS: usize = 8;
const CERTIFICATES: usize = 11;
const EVERYTHING: usize = FLAGS.len();
/// The groups of features that the Java program tests after a login with a password.
const JAVA: &str = "connect-password,browsing,types,zones,reading,parameters,stopping,writing,sessions";

/// A client, and how to test it.
pub enum Program {
    /// A program with its name, its command, the prefix of its flags, and the number of [`FLAGS`] that it has.
    Flags(&'static str, Box<Command>, &'static str, usize),
    /// The JDBC driver in this version.
    Jdbc(String),
}

/// Returns all programs in the order of the table; `None` for a program that cannot run on this machine.
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
    /// Runs the program to its end, which must be successful. The error is its whole output. `nth` distinguishes the
    /// programs.
    pub fn run(self, servers: &Servers, nth: usize) -> Result<Client, String> {
        let started = std::time::Instant::now();
        let (name, said) = match self {
            Self::Flags(name, mut command, dashes, known) => {
                for flag in &FLAGS[..known] {
                    command.arg(format!("{dashes}{flag}")).arg(servers.flag(flag, nth));
                }
                // GizmoSQL's client reads its root certificates from this variable only. Other clients must not have
                // it.
                if name == "gizmosql" {
                    command.env("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", servers.flag("ca", nth));
                }
                (name.to_owned(), finish(name, *command)?)
            }
            Self::Jdbc(version) => (format!("jdbc-{version}"), jdbc(&version, servers)?),
        };
        eprintln!("{name} took {:?}", started.elapsed());
        // The output is kept for inspection.
        std::fs::write(kept_folder("clients").join(format!("{name}.txt")), &said).unwrap();
        Ok(Client::parse(&said))
    }
}

/// Returns the output of a program that ends successfully.
fn finish(name: &str, mut command: Command) -> Result<String, String> {
    command.stdin(Stdio::null());
    let (code, out, err) = output(command);
    match (code, out.lines().last()) {
        (Some(0), Some("fine")) => Ok(out),
        _ => {
            // Drivers log whole traces, so the program's own failures come first.
            let failed: Vec<_> = err.lines().filter(|line| line.starts_with("failed ")).collect();
            Err(format!("{name} ended with {code:?}; {}\n{out}{err}", failed.join("; ")))
        }
    }
}

/// Runs the Java program once for each way to connect.
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
