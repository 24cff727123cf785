//! The ways between sites that a plan may use, and how fast they are.

use portolan_catalog::DomainName;

use crate::mesh::{Link, MeshView};
use crate::plan::SiteChoice;

/// The ways between sites, as the mesh is known at one moment.
#[derive(Clone, Copy)]
pub(super) struct Routes<'a> {
    pub(super) view: &'a MeshView,
    /// Whether owners may be asked to pull from one another. Not while planning a fragment that another node sent: it
    /// stays where it was put, so that no fragment goes in circles.
    pub(super) delegate: bool,
}

impl Routes<'_> {
    /// The link over which rows of `domains` go from one site to another; `None` where there is no way.
    pub(super) fn link<'d>(
        &self,
        from: &SiteChoice,
        to: &SiteChoice,
        domains: impl IntoIterator<Item = &'d DomainName>,
    ) -> Option<Link> {
        match (from, to) {
            (SiteChoice::Peer(site), SiteChoice::Here) => Some(self.view.link(site)),
            (SiteChoice::Here | SiteChoice::Peer(_), SiteChoice::Peer(site)) if self.delegate => {
                let links =
                    domains.into_iter().map(|domain| self.view.reach(site, domain)).collect::<Option<Vec<_>>>()?;
                links.into_iter().min_by(|a, b| a.bandwidth.total_cmp(&b.bandwidth))
            }
            _ => None,
        }
    }
}
