//! How clients reach the gateway of `portolan demo --serve`: its port and its user, and the text that reports both.

use std::path::PathBuf;

use portolan_node::{Error, Result};
use portolan_testbed::mesh::{GatewayOptions, LocalMesh, Login, check_port};
use serde_json::{Value, json};

use super::governed;
use crate::password::{generate, hash};

/// The port and the user of the gateway.
pub struct Access {
    gateway: GatewayOptions,
    /// True if the user has not chosen the password.
    is_generated: bool,
}

impl Access {
    /// Returns the access with this port and this user, if there are any, or for the users of a governed mesh. The
    /// password is that in `PORTOLAN_PASSWORD`, or else a random one.
    ///
    /// # Errors
    /// A port that is taken, or a variable without a valid password.
    pub fn new(port: Option<u16>, user: Option<&str>, is_governed: bool) -> Result<Self> {
        port.map_or(Ok(()), check_port)?;
        let gateway = GatewayOptions { port, ..GatewayOptions::default() };
        if user.is_none() && !is_governed {
            return Ok(Self { gateway, is_generated: false });
        }
        let (password, is_generated) = match std::env::var("PORTOLAN_PASSWORD") {
            Ok(password) => (password, false),
            Err(std::env::VarError::NotPresent) => (generate(), true),
            Err(e) => return Err(Error::config("cannot read the variable PORTOLAN_PASSWORD").with_source(e)),
        };
        let password_hash = hash(&password)?;
        let login = |user: &str| Login {
            user: user.into(),
            password_hash: password_hash.clone(),
            password: password.clone(),
            ..Login::default()
        };
        let governed = if is_governed { governed::users(login) } else { vec![] };
        let gateway = GatewayOptions { login: user.map(login), governed, ..gateway };
        Ok(Self { gateway, is_generated })
    }

    /// Returns the options of the gateway.
    pub fn gateway(&self) -> &GatewayOptions {
        &self.gateway
    }

    /// Returns the text about the governed mesh, for the prompt of the analyst.
    pub fn introduction(&self, mesh: &LocalMesh) -> String {
        governed::introduction(&mesh.policy_files(), mesh.gateway().url(), self.shown_password(), true)
    }

    /// Returns the password of the users, or where it is.
    fn shown_password(&self) -> &str {
        let login = self.gateway.login.as_ref().or(self.gateway.governed.first());
        match login.filter(|_| self.is_generated) {
            Some(login) => &login.password,
            None => "in PORTOLAN_PASSWORD",
        }
    }

    /// Returns one line of JSON for programs: that of [`LocalMesh::to_json`], with the users of the gateway, with the
    /// password if it was generated, and with the files of policies.
    pub fn to_json(&self, mesh: &LocalMesh) -> String {
        let mut json = mesh.to_json();
        if let Some(login) = &self.gateway.login {
            json["gateway"]["user"] = login.user.as_str().into();
            if self.is_generated {
                json["gateway"]["password"] = login.password.as_str().into();
            }
        }
        if !self.gateway.governed.is_empty() {
            json["gateway"]["users"] = self.gateway.governed.iter().map(|login| self.user(login)).collect();
            json["policies"] = mesh.policy_files().into_iter().map(|file| file.display().to_string()).collect();
        }
        format!("{json}\n")
    }

    /// Returns a user for programs.
    fn user(&self, login: &Login) -> Value {
        match self.is_generated {
            true => json!({ "user": login.user, "password": login.password }),
            false => json!({ "user": login.user }),
        }
    }

    /// Returns the text for a terminal: the URLs of the nodes, the logins, and commands to connect.
    pub fn to_text(&self, mesh: &LocalMesh) -> String {
        self.text(&mesh.to_json(), &mesh.policy_files())
    }

    fn text(&self, mesh: &Value, policies: &[PathBuf]) -> String {
        let url = |node: &Value| node["url"].as_str().unwrap_or_default().to_owned();
        let gateway = url(&mesh["gateway"]);
        let mut text = format!("The gateway is at {gateway}");
        let mut arguments = format!("--url {gateway}");
        if let Some(Login { user, .. }) = &self.gateway.login {
            let shown = self.shown_password();
            text.push_str(&format!(", for the user {user} with the password {shown}"));
            arguments.push_str(&format!(" --user {user}"));
        }
        text.push_str(".\nThe owners of the domains:\n");
        for node in mesh["nodes"].as_array().into_iter().flatten() {
            let domain = node["domain"].as_str().unwrap_or_default();
            text.push_str(&format!("  {domain:<8}{}\n", url(node)));
        }
        if !self.gateway.governed.is_empty() {
            let introduction = governed::introduction(policies, &gateway, self.shown_password(), false);
            return format!("{text}\n{introduction}Ctrl-C ends the demo.\n");
        }
        text.push_str(&format!(
            "\nIn another terminal, try:\n  portolan sql {arguments} -c \"SELECT * FROM mesh.ports\"\n  \
             portolan sql {arguments}\n\nCtrl-C ends the demo.\n"
        ));
        text
    }
}

/// Parses the name of a user, which must stand in a command without quotes.
///
/// # Errors
/// The characters that a name can have.
pub fn user_name(name: &str) -> Result<String, String> {
    match !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "-_.@".contains(c)) {
        true => Ok(name.into()),
        false => Err("expected letters, digits, `-`, `_`, `.` and `@`".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mesh() -> Value {
        let nodes = json!([
            { "domain": "sales", "url": "grpc://127.0.0.1:12001", "pid": 2 },
            { "domain": "geo", "url": "grpc://127.0.0.1:12002", "pid": 3 },
        ]);
        json!({ "gateway": { "url": "grpc://127.0.0.1:50051", "pid": 1 }, "nodes": nodes })
    }

    fn access(is_generated: bool) -> Access {
        let login = Login { user: "ann".into(), password: "p4".into(), ..Login::default() };
        let gateway = GatewayOptions { port: Some(50051), login: Some(login), governed: vec![] };
        Access { gateway, is_generated }
    }

    #[test]
    fn the_text_has_the_urls_and_a_command() {
        let open = Access { gateway: GatewayOptions::default(), is_generated: false };
        let expected = "\
The gateway is at grpc://127.0.0.1:50051.
The owners of the domains:
  sales   grpc://127.0.0.1:12001
  geo     grpc://127.0.0.1:12002

In another terminal, try:
  portolan sql --url grpc://127.0.0.1:50051 -c \"SELECT * FROM mesh.ports\"
  portolan sql --url grpc://127.0.0.1:50051

Ctrl-C ends the demo.
";
        assert_eq!(open.text(&mesh(), &[]), expected);
    }

    #[test]
    fn the_text_shows_only_a_generated_password() {
        let generated = access(true).text(&mesh(), &[]);
        assert!(
            generated.starts_with("The gateway is at grpc://127.0.0.1:50051, for the user ann with the password p4.\n")
        );
        assert!(generated.contains("  portolan sql --url grpc://127.0.0.1:50051 --user ann\n"), "{generated}");
        let chosen = access(false).text(&mesh(), &[]);
        assert!(chosen.contains(" with the password in PORTOLAN_PASSWORD.\n") && !chosen.contains("p4"), "{chosen}");
    }

    #[test]
    fn the_text_of_a_governed_mesh_has_its_users_and_policies() {
        let login = |user: &str| Login { user: user.into(), password: "p4".into(), ..Login::default() };
        let gateway = GatewayOptions { port: None, login: None, governed: governed::users(login) };
        let access = Access { gateway, is_generated: true };
        let text = access.text(&mesh(), &["/tmp/demo/customers.cedar".into()]);
        for part in ["The gateway is at ", "  /tmp/demo/customers.cedar\n", "\np4. In", "--user bob\n"] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert!(text.ends_with("\n\nCtrl-C ends the demo.\n"), "{text}");
        let chosen = Access { is_generated: false, ..access };
        assert!(!chosen.text(&mesh(), &[]).contains("p4"));
        assert_eq!(chosen.user(&login("ann")), json!({ "user": "ann" }));
    }

    #[test]
    fn a_user_name_needs_no_quotes_in_a_command() {
        for name in ["ann", "ann.bell@example.org", "Jürgen", "a-b_c1"] {
            assert_eq!(user_name(name), Ok(name.into()));
        }
        for name in ["", "ann bell", "ann:x", "a'b", "a$b", "a\u{1b}b"] {
            assert!(user_name(name).is_err(), "{name}");
        }
    }
}
