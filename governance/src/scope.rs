//! Scopes of rules: the principals, ports and columns that the head of a rule admits.

use std::collections::BTreeSet;

use cedar_policy::pst::{
    ActionConstraint, EntityOrSlot, EntityUID, PrincipalConstraint, ResourceConstraint, StaticPolicy,
};
use portolan_catalog::nearest::nearest;

use crate::caller::Caller;
use crate::decision::Action;
use crate::entity::{COLUMN, EntityName, OWN_TYPES, USER};

/// The scope of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scope {
    pub(crate) principal: Selector,
    pub(crate) resource: Selector,
    pub(crate) actions: BTreeSet<Action>,
    pub(crate) target: Target,
}

/// A constraint on an entity. Fields that are `None` admit any entity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selector {
    /// The type that the entity must have.
    pub(crate) is: Option<String>,
    /// The entity that it must be.
    pub(crate) equal: Option<EntityName>,
    /// The entity that it must be, or have as an ancestor.
    pub(crate) within: Option<EntityName>,
}

/// The resources that a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Ports.
    Ports,
    /// Columns.
    Columns,
    /// Ports and columns: `resource in Tag::"…"` without a type.
    Both,
}

impl Scope {
    /// Reads the scope of a policy.
    ///
    /// # Errors
    /// A scope that can match nothing, with the nearest valid name if there is one.
    pub(crate) fn of(policy: &StaticPolicy) -> Result<Self, (String, Option<String>)> {
        let body = policy.body();
        let principal = match &body.principal {
            PrincipalConstraint::Any => Selector::default(),
            PrincipalConstraint::Eq(e) => Selector::equal(e)?,
            PrincipalConstraint::In(e) => Selector::within(e)?,
            PrincipalConstraint::Is(ty) => Selector::is(ty.to_string()),
            PrincipalConstraint::IsIn(ty, e) => Selector { is: Some(ty.to_string()), ..Selector::within(e)? },
        };
        let resource = match &body.resource {
            ResourceConstraint::Any => Selector::default(),
            ResourceConstraint::Eq(e) => Selector::equal(e)?,
            ResourceConstraint::In(e) => Selector::within(e)?,
            ResourceConstraint::Is(ty) => Selector::is(ty.to_string()),
            ResourceConstraint::IsIn(ty, e) => Selector { is: Some(ty.to_string()), ..Selector::within(e)? },
        };
        if let Some(ty) = principal.ty().filter(|ty| *ty != USER) {
            return Err((format!("a principal is a `{USER}`, never a `{ty}`"), Some(USER.into())));
        }
        if let Some(e) = principal.within.as_ref().filter(|e| e.ty != "Group" && e.ty != USER) {
            return Err((format!("a principal is in a `Group`, never in a `{}`", e.ty), Some("Group".into())));
        }
        let target = target(&resource)?;
        Ok(Self { principal, resource, actions: actions(&body.action)?, target })
    }

    /// True if the scope admits this principal.
    pub(crate) fn admits_caller(&self, caller: &Caller) -> bool {
        let is = |e: &EntityName| e.ty == USER && e.id == caller.name;
        self.principal.equal.as_ref().is_none_or(is)
            && self.principal.within.as_ref().is_none_or(|e| is(e) || e.ty == "Group" && caller.groups.contains(&e.id))
    }

    /// True if the scope admits this port.
    pub(crate) fn admits_port(&self, port: &EntityName, ancestors: &BTreeSet<EntityName>) -> bool {
        self.target != Target::Columns && self.resource.admits(port, ancestors)
    }

    /// True if the scope admits this column.
    pub(crate) fn admits_column(&self, column: &EntityName, ancestors: &BTreeSet<EntityName>) -> bool {
        self.target != Target::Ports && self.resource.admits(column, ancestors)
    }
}

impl Selector {
    fn equal(e: &EntityOrSlot) -> Result<Self, (String, Option<String>)> {
        Ok(Self { equal: Some(entity(e)?), ..Self::default() })
    }

    fn within(e: &EntityOrSlot) -> Result<Self, (String, Option<String>)> {
        Ok(Self { within: Some(entity(e)?), ..Self::default() })
    }

    fn is(ty: String) -> Self {
        Self { is: Some(ty), ..Self::default() }
    }

    /// Returns the type of the entities that the selector admits, if it names one.
    pub(crate) fn ty(&self) -> Option<&str> {
        self.is.as_deref().or(self.equal.as_ref().map(|e| e.ty.as_str()))
    }

    fn admits(&self, entity: &EntityName, ancestors: &BTreeSet<EntityName>) -> bool {
        self.is.as_ref().is_none_or(|ty| *ty == entity.ty)
            && self.equal.as_ref().is_none_or(|e| e == entity)
            && self.within.as_ref().is_none_or(|e| e == entity || ancestors.contains(e))
    }
}

/// Returns the entity's name.
pub(crate) fn name_of(uid: &EntityUID) -> EntityName {
    EntityName::new(uid.ty.to_string(), uid.eid.as_str())
}

fn entity(e: &EntityOrSlot) -> Result<EntityName, (String, Option<String>)> {
    match e {
        EntityOrSlot::Entity(uid) => Ok(name_of(uid)),
        EntityOrSlot::Slot(_) => Err(("templates are not supported: name the entity".into(), None)),
    }
}

fn target(resource: &Selector) -> Result<Target, (String, Option<String>)> {
    if let Some(ty) = resource.ty() {
        return match ty {
            COLUMN => Ok(Target::Columns),
            own if OWN_TYPES.contains(&own) => {
                let message = format!("no request has a `{own}` as its resource; write `resource in {own}::\"…\"`");
                Err((message, None))
            }
            _ => Ok(Target::Ports),
        };
    }
    match resource.within.as_ref().map(|e| e.ty.as_str()) {
        None | Some("Domain" | "Product" | "Port") => Ok(Target::Ports),
        Some("Classification") => Ok(Target::Columns),
        Some("Tag") => Ok(Target::Both),
        Some(COLUMN) => Err((format!("write `resource == {COLUMN}::\"…\"`: nothing is in a column"), None)),
        Some(ty) if ty.contains("::") => Ok(Target::Ports),
        Some(ty) => {
            let suggestion = nearest(ty, OWN_TYPES).map(str::to_string);
            Err((format!("no resource is in a `{ty}`"), suggestion))
        }
    }
}

fn actions(constraint: &ActionConstraint) -> Result<BTreeSet<Action>, (String, Option<String>)> {
    let parse = |uid: &EntityUID| {
        let (ty, id) = (uid.ty.to_string(), uid.eid.as_str());
        if ty != "Action" {
            return Err((format!("`{ty}` is no type of actions"), Some("Action".to_owned())));
        }
        let found = Action::ALL.into_iter().find(|action| action.name() == id);
        found.ok_or_else(|| {
            let suggestion = nearest(id, Action::ALL.map(Action::name)).map(str::to_string);
            (format!("unknown action `{id}`; one of `read`, `insert`, `describe`"), suggestion)
        })
    };
    match constraint {
        ActionConstraint::Any => Ok(Action::ALL.into()),
        ActionConstraint::Eq(uid) => Ok([parse(uid)?].into()),
        ActionConstraint::In(uids) => uids.iter().map(parse).collect(),
    }
}
