//! The parts of an ODPS product descriptor that the engine uses. The standard's schema has checked the rest.

use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    pub(crate) name: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) status: String,
    pub(crate) domain: Option<String>,
    pub(crate) description: Option<Description>,
    #[serde(default)]
    pub(crate) tags: Vec<String>,
    #[serde(default)]
    pub(crate) output_ports: Vec<OutputPort>,
    pub(crate) team: Option<Team>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Description {
    purpose: Option<String>,
    usage: Option<String>,
    limitations: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OutputPort {
    pub(crate) name: String,
    pub(crate) version: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) contract_id: Option<String>,
    #[serde(default)]
    pub(crate) tags: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Team {
    name: Option<String>,
    #[serde(default)]
    members: Vec<Member>,
}

#[derive(Debug, Deserialize)]
struct Member {
    username: String,
    role: Option<String>,
}

impl Description {
    /// Returns the purpose, or else the usage, or else the limitations.
    pub(crate) fn text(&self) -> Option<String> {
        self.purpose.clone().or_else(|| self.usage.clone()).or_else(|| self.limitations.clone())
    }
}

impl Team {
    /// Returns the member whose role is `owner`, or else the team's name.
    pub(crate) fn owner(&self) -> Option<String> {
        let is_owner = |m: &&Member| m.role.as_deref().is_some_and(|r| r.eq_ignore_ascii_case("owner"));
        self.members.iter().find(is_owner).map(|m| m.username.clone()).or_else(|| self.name.clone())
    }
}
