//! What an engine keeps to show each principal the mesh without the ports that policies hide from it.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, Weak};
use std::time::Instant;

use portolan_catalog::PortRef;
use portolan_connectors::{SiteId, lock};
use portolan_governance::Caller;

use crate::mesh::MeshView;

/// The largest number of answers of owners that are kept.
const MOST_ANSWERS: usize = 1_000;
/// The largest number of views that are kept. Principals who may not see the same ports share a view.
const MOST_VIEWS: usize = 64;

/// The answers of owners about the ports that principals may see, and the views without the other ports.
#[derive(Debug, Default)]
pub(crate) struct Visibility {
    answers: Mutex<HashMap<(Caller, Option<SiteId>), ShownPorts>>,
    views: Mutex<Vec<KnownView>>,
}

/// The ports of one owner that a principal may see, among those that policies can hide.
#[derive(Clone, Debug)]
pub(crate) struct ShownPorts {
    pub(crate) shown: Arc<BTreeSet<PortRef>>,
    /// The time until which the answer is valid; `None` if it does not depend on time.
    pub(crate) until: Option<Instant>,
    /// The view that the answer is about; `None` for an answer of another node.
    pub(crate) of: Option<Weak<MeshView>>,
}

/// A view of the mesh without some ports.
#[derive(Debug)]
struct KnownView {
    whole: Weak<MeshView>,
    hidden: BTreeSet<PortRef>,
    view: Arc<MeshView>,
}

impl Visibility {
    /// Returns the ports of an owner that a principal may see, if this is known. `site` is `None` for this node.
    pub(crate) fn shown(
        &self,
        caller: &Caller,
        site: Option<&SiteId>,
        whole: &Arc<MeshView>,
    ) -> Option<Arc<BTreeSet<PortRef>>> {
        let answers = lock(&self.answers);
        let answer = answers.get(&(caller.clone(), site.cloned()))?;
        answer.is_valid(whole, Instant::now()).then(|| answer.shown.clone())
    }

    /// Keeps an answer.
    pub(crate) fn keep(&self, caller: &Caller, site: Option<&SiteId>, whole: &Arc<MeshView>, answer: ShownPorts) {
        let mut answers = lock(&self.answers);
        if answers.len() >= MOST_ANSWERS {
            let now = Instant::now();
            answers.retain(|_, answer| answer.is_valid(whole, now));
        }
        if answers.len() >= MOST_ANSWERS {
            answers.clear();
        }
        answers.insert((caller.clone(), site.cloned()), answer);
    }

    /// Returns the view without these ports. It is the same one each time, as long as the mesh does not change.
    pub(crate) fn without_ports(&self, whole: &Arc<MeshView>, hidden: BTreeSet<PortRef>) -> Arc<MeshView> {
        if hidden.is_empty() {
            return whole.clone();
        }
        let mut views = lock(&self.views);
        views.retain(|known| is_same(&known.whole, whole));
        if let Some(known) = views.iter().find(|known| known.hidden == hidden) {
            return known.view.clone();
        }
        if views.len() >= MOST_VIEWS {
            views.remove(0);
        }
        let view = Arc::new(whole.without_ports(&hidden));
        views.push(KnownView { whole: Arc::downgrade(whole), hidden, view: view.clone() });
        view
    }
}

impl ShownPorts {
    fn is_valid(&self, whole: &Arc<MeshView>, now: Instant) -> bool {
        self.until.is_none_or(|until| now < until) && self.of.as_ref().is_none_or(|of| is_same(of, whole))
    }
}

fn is_same(weak: &Weak<MeshView>, view: &Arc<MeshView>) -> bool {
    weak.as_ptr() == Arc::as_ptr(view)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use super::*;

    fn answer(until: Option<Instant>, of: Option<&Arc<MeshView>>) -> ShownPorts {
        ShownPorts { shown: Arc::default(), until, of: of.map(Arc::downgrade) }
    }

    #[test]
    fn answers_end_with_their_time_and_their_view() {
        let (visibility, caller) = (Visibility::default(), Caller::new("ann"));
        let (view, next) = (Arc::new(MeshView::default()), Arc::new(MeshView::default()));
        let site = SiteId::new("grpc://hr:1");
        let is_known = |whole: &Arc<MeshView>| visibility.shown(&caller, Some(&site), whole).is_some();
        assert!(!is_known(&view));
        let later = Instant::now() + Duration::from_secs(3_600);
        for (kept, before, after) in [
            (answer(Some(later), None), true, true),
            (answer(Some(Instant::now()), None), false, false),
            (answer(None, Some(&view)), true, false),
        ] {
            visibility.keep(&caller, Some(&site), &view, kept);
            assert_eq!((is_known(&view), is_known(&next)), (before, after));
        }
        assert!(visibility.shown(&caller, None, &view).is_none());
        assert!(visibility.shown(&caller.clone().with_purpose("audit"), Some(&site), &view).is_none());
    }

    #[test]
    fn answers_and_views_are_bounded() {
        let visibility = Visibility::default();
        let view = Arc::new(MeshView::default());
        for n in 0..=MOST_ANSWERS {
            visibility.keep(&Caller::new(n.to_string()), None, &view, answer(None, None));
            assert!(lock(&visibility.answers).len() <= MOST_ANSWERS);
        }
        assert!(visibility.shown(&Caller::new(MOST_ANSWERS.to_string()), None, &view).is_some());
        let hidden = |n: usize| BTreeSet::from([PortRef::new("hr", "p", n.to_string())]);
        let first = visibility.without_ports(&view, hidden(0));
        assert!(Arc::ptr_eq(&first, &visibility.without_ports(&view, hidden(0))));
        for n in 0..=MOST_VIEWS {
            visibility.without_ports(&view, hidden(n));
        }
        assert_eq!(lock(&visibility.views).len(), MOST_VIEWS);
        assert!(!Arc::ptr_eq(&first, &visibility.without_ports(&view, hidden(0))));
        assert!(Arc::ptr_eq(&view, &visibility.without_ports(&view, BTreeSet::new())));
        visibility.without_ports(&Arc::new(MeshView::default()), hidden(0));
        assert_eq!(lock(&visibility.views).len(), 1);
    }
}
