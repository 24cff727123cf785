//! The versions of the mesh. Each answer of a peer makes a new view, with the time of the answer and the speed of the link.
//! A view has a new version only if plans over it may be other ones.

use std::collections::BTreeMap;
use std::sync::Arc;

use portolan_connectors::OpenedPort;

use super::{MeshView, Replica, ViewedSite};
use crate::mesh::MeshState;

impl MeshState {
    /// Returns the mesh as it is known now, with the number of its version.
    pub(in crate::mesh) fn next_view(&mut self) -> Arc<MeshView> {
        let (mut view, first) = (self.view(), self.first_of_version.clone());
        // A link is compared with the first view: it could change in small steps.
        let is_same = view.is_same_version(&first);
        view.version = if is_same { first.version } else { first.version + 1 };
        let view = Arc::new(view);
        if !is_same {
            self.first_of_version = view.clone();
        }
        view
    }
}

impl MeshView {
    /// True if plans over both views are the same: the views have the same catalogs, owners, policies and sites, and links
    /// of about the same speed.
    fn is_same_version(&self, other: &Self) -> bool {
        let has_same_domains = same(&self.snapshot.domains, &other.snapshot.domains, |a, b| {
            Arc::ptr_eq(&a.catalog, &b.catalog) && a.served_by == b.served_by
        });
        has_same_domains
            && same(&self.local, &other.local, is_same_port)
            && same(&self.sites, &other.sites, ViewedSite::is_same_version)
            && self.owners == other.owners
            && same(&self.policies, &other.policies, Arc::ptr_eq)
    }
}

impl ViewedSite {
    fn is_same_version(&self, other: &Self) -> bool {
        let is_same = |(a, b): (&Replica, &Replica)| Arc::ptr_eq(&a.site, &b.site) && Arc::ptr_eq(&a.meter, &b.meter);
        self.replicas.len() == other.replicas.len()
            && self.replicas.iter().zip(&other.replicas).all(is_same)
            && !self.link.differs(other.link)
            && self.reaches == other.reaches
    }
}

/// True if two maps have the same keys, with values that are the same.
fn same<K: Ord, V>(a: &BTreeMap<K, V>, b: &BTreeMap<K, V>, is_same: impl Fn(&V, &V) -> bool) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|((a_key, a), (b_key, b))| a_key == b_key && is_same(a, b))
}

/// True if two ports read the same rows.
fn is_same_port(a: &OpenedPort, b: &OpenedPort) -> bool {
    let is_same_site = match (&a.site, &b.site) {
        (Some(a), Some(b)) => Arc::ptr_eq(&a.site, &b.site) && Arc::ptr_eq(&a.table, &b.table),
        (a, b) => a.is_none() && b.is_none(),
    };
    is_same_site && Arc::ptr_eq(&a.provider, &b.provider)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use portolan_catalog::PortRef;
    use portolan_connectors::Peer;
    use portolan_connectors::testing::{FakePeer, catalog, local_domain};

    use super::*;
    use crate::fake_mesh::tpch_domain;
    use crate::mesh::{LinkOverride, Mesh, Owners, PeerOptions};

    #[tokio::test]
    async fn only_what_plans_depend_on_changes_the_version() {
        let peer = FakePeer::new("grpc://geo", vec![tpch_domain("geo")]);
        let link = LinkOverride { latency: Some(Duration::from_millis(1)), bandwidth: Some(1e9) };
        let known: (Arc<dyn Peer>, _) = (peer.clone(), PeerOptions { link, ..PeerOptions::default() });
        let mesh = Mesh::new(vec![], vec![known], Owners::default()).unwrap();
        let unknown = mesh.view().version;
        mesh.refresh_all().await;
        let first = mesh.view();
        assert!(first.version > unknown, "the catalog is new");
        mesh.refresh_all().await;
        let second = mesh.view();
        assert!(!Arc::ptr_eq(&first, &second));
        assert_eq!(first.version, second.version, "the peer answered as before");
        peer.go_down();
        mesh.refresh_all().await;
        assert_eq!(mesh.view().version, first.version, "its last catalog is still in use");
        peer.publish("2", vec![tpch_domain("geo")]);
        mesh.refresh_all().await;
        let published = mesh.view().version;
        assert!(published > first.version);

        let domain = || local_domain(catalog("own", []), |_| vec![]);
        mesh.replace_local(domain());
        let opened = mesh.view().version;
        assert!(opened > published);
        mesh.replace_local(domain());
        assert!(mesh.view().version > opened, "the domain was loaded again");
    }

    #[test]
    fn hidden_ports_are_not_another_version() {
        let hidden = [PortRef::new("hr", "p", "people")].into();
        let whole = MeshView { version: 7, ..MeshView::default() };
        let view = whole.without_ports(&hidden);
        assert_eq!((view.version, view.hidden.as_ref()), (7, &hidden));
        assert!(whole.hidden.is_empty());
    }
}
