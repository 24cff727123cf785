//! The identity of the client of a session or a query, which decides who can see and stop it.

use crate::Principal;

/// The identity of the client of a session or a query. All anonymous clients are the same principal, so an anonymous
/// client is also a session, or an address.
#[derive(Clone, Debug)]
pub(crate) struct ClientIdentity {
    pub(crate) principal: Principal,
    /// The session; `None` for a fragment of another node's query.
    pub(crate) session: Option<String>,
    /// True if the session ends with the call that opened it, and for a fragment. The client has only its address then.
    pub(crate) brief: bool,
}

impl ClientIdentity {
    /// Returns the client of a fragment of another node's query.
    pub(crate) fn of_fragment(principal: &Principal) -> Self {
        Self { principal: principal.clone(), session: None, brief: true }
    }

    /// True if this client may see and stop what belongs to `other`.
    pub(crate) fn may_manage(&self, other: &Self) -> bool {
        if self.principal.is_admin() {
            return true;
        }
        if !self.principal.is_anonymous() {
            return self.principal.is_same(&other.principal);
        }
        let same_session = self.session.is_some() && self.session == other.session;
        let (own, address) = (self.principal.address(), other.principal.address());
        other.principal.is_anonymous() && (same_session || other.brief && address.is_some() && own == address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visitor(session: Option<&str>, brief: bool, last: u8) -> ClientIdentity {
        let principal = Principal::anonymous_at(Some([192, 0, 2, last].into()));
        ClientIdentity { principal, session: session.map(str::to_owned), brief }
    }

    #[test]
    fn one_with_a_name_owns_all_of_that_name_and_administrators_manage_all() {
        let named = |name: &str, session: &str| ClientIdentity {
            principal: Principal::new(name),
            session: Some(session.to_owned()),
            brief: false,
        };
        let (ann, again, bob) = (named("ann", "1"), named("ann", "2"), named("bob", "3"));
        let root = ClientIdentity { principal: Principal::new("root").with_admin(true), session: None, brief: false };
        let anybody = visitor(Some("4"), false, 1);
        assert!(ann.may_manage(&again) && !ann.may_manage(&bob) && !ann.may_manage(&anybody));
        assert!(ann.may_manage(&ClientIdentity::of_fragment(&ann.principal)));
        assert!(!anybody.may_manage(&ann));
        assert!([&ann, &bob, &anybody].into_iter().all(|client| root.may_manage(client) && !client.may_manage(&root)));
    }

    #[test]
    fn a_visitor_owns_the_session_or_else_what_comes_from_the_address() {
        let (one, two, elsewhere) =
            (visitor(Some("1"), false, 1), visitor(Some("2"), false, 1), visitor(Some("1"), false, 2));
        assert!(one.may_manage(&one) && !one.may_manage(&two) && !two.may_manage(&one));
        assert!(elsewhere.may_manage(&one), "a session may be used from several addresses");
        let (call, other_call) = (visitor(Some("3"), true, 1), visitor(Some("4"), true, 1));
        assert!(call.may_manage(&other_call) && one.may_manage(&call) && !call.may_manage(&one));
        assert!(!call.may_manage(&visitor(Some("5"), true, 2)));
        assert!(call.may_manage(&ClientIdentity::of_fragment(&call.principal)));
        // Without an address, nobody but the session itself is known to be the same visitor.
        let nowhere = |session: Option<&str>| ClientIdentity {
            principal: Principal::anonymous(),
            session: session.map(str::to_owned),
            brief: true,
        };
        assert!(nowhere(Some("6")).may_manage(&nowhere(Some("6"))));
        assert!(!nowhere(Some("6")).may_manage(&nowhere(Some("7"))) && !nowhere(None).may_manage(&nowhere(None)));
    }
}
