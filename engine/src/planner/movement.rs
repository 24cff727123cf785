//! How rows move between sites: the routes that a plan may use, and their links.

use portolan_catalog::DomainName;

use crate::mesh::{Link, MeshView};
use crate::plan::SiteChoice;

/// The routes between sites, in one view of the mesh.
#[derive(Clone, Copy)]
pub(super) struct Routes<'a> {
    pub(super) view: &'a MeshView,
    /// True if owners may fetch rows from one another. It is false for a fragment that another node sent: such a fragment
    /// stays at its site, so that no fragment goes in circles.
    pub(super) delegate: bool,
}

impl Routes<'_> {
    /// Returns the link for rows of `domains` from one site to another; `None` if there is no route.
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
