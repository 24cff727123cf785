//! Evaluates the rules of a port for a caller with Cedar: what remains of conditions on rows, and what matches columns.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use cedar_policy::pst::{Clause, Policy as Pst};
use cedar_policy::{
    AuthorizationError, Authorizer, Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, PartialEntities,
    PartialEntity, PartialEntityUid, PartialRequest, PolicySet, Request, RestrictedExpression, Schema,
};

use crate::caller::Caller;
use crate::condition::Condition;
use crate::decision::Action;
use crate::entity::{EntityName, USER};
use crate::policies::{ColumnClass, Policies, PortEntry};
use crate::residual::Translator;
use crate::time::to_cedar;

/// What remains of a rule: its index and its condition on rows, or the reason for which it cannot be translated.
pub(crate) type Residual = (usize, Result<Condition, String>);

/// The evaluation of the rules of one port for one caller.
pub(crate) struct Evaluation<'a> {
    pub(crate) policies: &'a Policies,
    pub(crate) entry: &'a PortEntry,
    pub(crate) caller: &'a Caller,
    pub(crate) now: i64,
    context: Context,
    user: EntityUid,
    groups: HashSet<EntityUid>,
}

impl<'a> Evaluation<'a> {
    /// Prepares the evaluation at a time in milliseconds.
    ///
    /// # Errors
    /// The message of Cedar.
    pub(crate) fn new(
        policies: &'a Policies,
        entry: &'a PortEntry,
        caller: &'a Caller,
        now: i64,
    ) -> Result<Self, String> {
        let mut context = vec![
            ("now".to_owned(), RestrictedExpression::new_datetime(to_cedar(now))),
            ("via".to_owned(), RestrictedExpression::new_set(caller.via.iter().map(|text| string(text)))),
        ];
        context.extend(caller.purpose.iter().map(|purpose| ("purpose".to_owned(), string(purpose))));
        let context = Context::from_pairs(context).map_err(text)?;
        let user = uid(&EntityName::new(USER, &caller.name))?;
        let groups = caller.groups.iter().map(|group| uid(&EntityName::new("Group", group)));
        let groups = groups.collect::<Result<HashSet<_>, _>>()?;
        Ok(Self { policies, entry, caller, now, context, user, groups })
    }

    /// Evaluates rules as far as they do not depend on the row. Returns what remains of each.
    pub(crate) fn residuals(&self, rules: Vec<usize>, action: Action) -> Result<Vec<Residual>, String> {
        let Some(schema) = self.entry.schema.as_ref().filter(|_| !rules.is_empty()) else { return Ok(vec![]) };
        let mut set = PolicySet::new();
        for i in &rules {
            set.add(self.policies.rules[*i].policy_with_id(*i)).map_err(text)?;
        }
        let port = uid(&self.entry.entity)?;
        let request = PartialRequest::new(
            PartialEntityUid::from_concrete(self.user.clone()),
            uid(&EntityName::new("Action", action.name()))?,
            PartialEntityUid::from_concrete(port.clone()),
            Some(self.context.clone()),
            schema,
        )
        .map_err(text)?;
        let ancestors = self.entry.ancestors.iter().map(uid).collect::<Result<HashSet<_>, _>>()?;
        let port = PartialEntity::new(port, None, Some(ancestors), None, schema).map_err(text)?;
        let entities = PartialEntities::from_partial_entities([self.partial_principal(schema)?, port], schema);
        let entities = entities.map_err(text)?;
        let response = set.tpe(&request, &entities, schema).map_err(text)?;
        let translator = Translator {
            port: &self.entry.entity,
            kinds: &self.entry.columns.kinds,
            required: &self.entry.columns.required,
        };
        let mut residuals = vec![];
        for policy in response.policies() {
            let i: usize = policy.id().to_string().parse().map_err(text)?;
            let residual = match policy.to_pst() {
                Ok(Pst::Static(parsed)) => self.translate(&translator, parsed.body().clauses()),
                Ok(_) => Err("the policy is a template".into()),
                Err(e) => Err(e.to_string()),
            };
            let row_filter = self.policies.rules.get(i).and_then(|rule| rule.row_filter.clone());
            let residual = residual.map(|condition| match row_filter {
                Some(sql) => translator.and(condition, Condition::Sql(sql)),
                None => condition,
            });
            residuals.push((i, residual));
        }
        residuals.sort_by_key(|(i, _)| *i);
        match residuals.len() == rules.len() {
            true => Ok(residuals),
            false => Err("a policy was not evaluated".into()),
        }
    }

    fn translate(&self, translator: &Translator<'_>, clauses: &[Clause]) -> Result<Condition, String> {
        clauses.iter().try_fold(Condition::TRUE, |so_far, clause| {
            let condition = match clause {
                Clause::When(e) => translator.condition(e)?,
                Clause::Unless(e) => translator.condition(e)?.negate(),
            };
            Ok(translator.and(so_far, condition))
        })
    }

    /// Returns the attributes of the principal, which are tags of its entity.
    fn tags<K: From<String>>(&self) -> impl Iterator<Item = (K, RestrictedExpression)> {
        let attributes = self.caller.attributes.iter();
        attributes.map(|(name, values)| {
            (K::from(name.clone()), RestrictedExpression::new_set(values.iter().map(|text| string(text))))
        })
    }

    fn principal(&self) -> Result<Entity, String> {
        let name = ("name".to_owned(), string(&self.caller.name));
        Entity::new_with_tags(self.user.clone(), [name], self.groups.clone(), self.tags()).map_err(text)
    }

    fn partial_principal(&self, schema: &Schema) -> Result<PartialEntity, String> {
        let attributes = Some([("name".into(), string(&self.caller.name))].into());
        let (groups, tags) = (Some(self.groups.clone()), Some(self.tags().collect()));
        PartialEntity::new(self.user.clone(), attributes, groups, tags, schema).map_err(text)
    }

    /// Returns the rules that match a class of columns, or fail.
    pub(crate) fn matched(&self, class: &ColumnClass) -> Result<BTreeSet<usize>, String> {
        let admitted = |i: &usize| {
            let scope = &self.policies.rules[*i].scope;
            scope.actions.contains(&Action::Read) && scope.admits_caller(self.caller)
        };
        let mut set = PolicySet::new();
        for i in class.rules.iter().copied().filter(admitted) {
            set.add(self.policies.rules[i].policy_with_id(i)).map_err(text)?;
        }
        if set.is_empty() {
            return Ok(BTreeSet::new());
        }
        let schema = self.policies.column_schema.as_ref().ok_or("the schema of columns is not valid")?;
        let column = uid(&class.entity)?;
        let parents = class.ancestors.iter().map(uid).collect::<Result<HashSet<_>, _>>()?;
        let entity = Entity::new_no_attrs(column.clone(), parents);
        let entities = Entities::from_entities([self.principal()?, entity], Some(schema)).map_err(text)?;
        let action = uid(&EntityName::new("Action", Action::Read.name()))?;
        let request = Request::new(self.user.clone(), action, column, self.context.clone(), Some(schema));
        let response = Authorizer::new().is_authorized(&request.map_err(text)?, &set, &entities);
        let failed = response.diagnostics().errors().map(|error| match error {
            AuthorizationError::PolicyEvaluationError(e) => e.policy_id(),
        });
        let matched = response.diagnostics().reason().chain(failed);
        matched.map(|id| id.to_string().parse().map_err(text)).collect()
    }
}

impl Policies {
    /// Evaluates all rules about a port for a caller without attributes, in all groups that the rules name. Returns those
    /// that cannot be translated.
    pub(crate) fn trial(&self, entry: &PortEntry) -> Vec<(usize, String)> {
        let scopes = entry.rules.iter().map(|i| &self.rules[*i].scope);
        let groups = scopes.filter_map(|scope| scope.principal.within.as_ref().map(|group| group.id.clone()));
        let caller = Caller::new("").with_groups(groups);
        let mut failed: BTreeMap<usize, String> = BTreeMap::new();
        for action in Action::ALL {
            let rules = entry.rules.iter().copied().filter(|i| self.rules[*i].scope.actions.contains(&action));
            let residuals = Evaluation::new(self, entry, &caller, 0).and_then(|e| e.residuals(rules.collect(), action));
            match residuals {
                Ok(residuals) => failed.extend(residuals.into_iter().filter_map(|(i, r)| Some((i, r.err()?)))),
                Err(message) => failed.extend(entry.rules.first().map(|i| (*i, message))),
            }
        }
        failed.into_iter().collect()
    }
}

fn uid(entity: &EntityName) -> Result<EntityUid, String> {
    let ty: EntityTypeName = entity.ty.parse().map_err(text)?;
    Ok(EntityUid::from_type_name_and_id(ty, EntityId::new(&entity.id)))
}

fn string(text: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(text.to_owned())
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
