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

/// How much of the inputs of some rows a site owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    /// The site owns no input.
    None,
    /// The site owns some of the inputs.
    Part,
    /// The site owns every input.
    Whole,
}

impl Share {
    /// True if a site with this share may send the rows to `receiver`.
    ///
    /// No node works for others alone: a site sends only rows that it owns, or that it joins with rows that it owns. To a
    /// peer it sends only rows that it owns alone, so that no owner fetches rows in order to send them on.
    fn may_send(self, receiver: &SiteChoice) -> bool {
        match receiver {
            SiteChoice::Peer(_) => self == Self::Whole,
            SiteChoice::Here | SiteChoice::Anywhere => self != Self::None,
        }
    }
}

impl Routes<'_> {
    /// Returns the link for rows from one site to another; `None` if the rows may not move so.
    ///
    /// `share` is the part of their inputs that the sender owns. `domains` returns the domains of the inputs.
    pub(super) fn link<'d, D: IntoIterator<Item = &'d DomainName>>(
        &self,
        from: &SiteChoice,
        to: &SiteChoice,
        share: Share,
        domains: impl FnOnce() -> D,
    ) -> Option<Link> {
        if !share.may_send(to) {
            return None;
        }
        match (from, to) {
            (SiteChoice::Peer(site), SiteChoice::Here) => Some(self.view.link(site)),
            (SiteChoice::Here | SiteChoice::Peer(_), SiteChoice::Peer(site)) if self.delegate => {
                let links = domains().into_iter().map(|domain| self.view.reach(site, domain));
                let links = links.collect::<Option<Vec<_>>>()?;
                links.into_iter().min_by(|a, b| a.bandwidth.total_cmp(&b.bandwidth))
            }
            _ => None,
        }
    }
}
