//! Columns of one name in the list of a `SELECT`, which SQL allows and DataFusion's plans do not.

use arrow::datatypes::{Schema, SchemaRef};
use sqlparser::ast::{Expr, Ident, SelectItem, SetExpr, Statement};

/// The columns of a query that are named as an earlier one is: place, and place of the earlier one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Repeated(Vec<(usize, usize)>);

impl Repeated {
    /// The columns with the names that the statement gives them.
    pub(crate) fn named(&self, schema: SchemaRef) -> SchemaRef {
        if self.0.is_empty() {
            return schema;
        }
        let mut fields: Vec<_> = schema.fields().iter().map(|f| f.as_ref().clone()).collect();
        for (later, earlier) in &self.0 {
            fields[*later] = fields[*later].clone().with_name(schema.field(*earlier).name());
        }
        Schema::new_with_metadata(fields, schema.metadata().clone()).into()
    }
}

/// What a column of the list goes by.
#[derive(PartialEq)]
enum Name {
    /// A name alone.
    Plain(String),
    /// A column with its table: what the name means, and the name alone.
    Qualified(Vec<String>, String),
    /// An expression without a name.
    Expression(String),
}

/// Gives the columns of a statement that share a name others that nothing else has.
pub(super) fn tell_apart(statement: &mut Statement) -> Repeated {
    let mut repeated = Repeated::default();
    let Statement::Query(query) = statement else { return repeated };
    let SetExpr::Select(select) = query.body.as_mut() else { return repeated };
    let names: Option<Vec<Name>> = select.projection.iter().map(name).collect();
    // How many columns `*` stands for is not known yet.
    let Some(names) = names else { return repeated };
    for (later, item) in select.projection.iter_mut().enumerate() {
        let Some(earlier) = names[..later].iter().position(|name| clash(name, &names[later])) else { continue };
        let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else { continue };
        *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: Ident::with_quote('"', format!("#{later}")) };
        repeated.0.push((later, earlier));
    }
    repeated
}

fn name(item: &SelectItem) -> Option<Name> {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(Name::Plain(normal(alias))),
        SelectItem::UnnamedExpr(Expr::Identifier(ident)) => Some(Name::Plain(normal(ident))),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => {
            Some(Name::Qualified(parts.iter().map(normal).collect(), parts.last().map(normal)?))
        }
        SelectItem::UnnamedExpr(expr) => Some(Name::Expression(expr.to_string())),
        _ => None,
    }
}

/// Whether a plan cannot have columns of both names. It can where both name their tables.
fn clash(a: &Name, b: &Name) -> bool {
    match (a, b) {
        (Name::Plain(plain), Name::Qualified(_, own)) | (Name::Qualified(_, own), Name::Plain(plain)) => plain == own,
        _ => a == b,
    }
}

fn normal(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}
