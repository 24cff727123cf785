//! Expressions as SQL. Each operator has brackets around it.

use arrow::datatypes::DataType;
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::expr::{AggregateFunction, InList, ScalarFunction};
use datafusion::logical_expr::utils::split_binary;
use datafusion::logical_expr::{Between, BinaryExpr, Case, Cast, Expr, ExprSchemable, Like, Operator};

use super::dialect::SqlDialect;
use super::literals::literal;
use crate::refusal::Refusal;

type Result<T> = std::result::Result<T, Refusal>;

/// The inputs of an operator, as its expressions read them.
pub(super) struct Scope<'a> {
    pub(super) dialect: &'a SqlDialect,
    /// The columns of all inputs.
    pub(super) schema: &'a DFSchema,
    /// The columns of each input, and its alias.
    pub(super) inputs: Vec<(&'a DFSchema, String)>,
}

impl Scope<'_> {
    /// Returns an expression as SQL.
    pub(super) fn expression(&self, expr: &Expr) -> Result<String> {
        match expr {
            Expr::Alias(alias) => self.expression(&alias.expr),
            Expr::Column(column) => self.column(column, expr),
            Expr::Literal(value, _) => literal(value, self.dialect).ok_or_else(|| self.refused(expr)),
            Expr::BinaryExpr(binary) => self.binary(binary, expr),
            Expr::Not(inner) => Ok(format!("(NOT {})", self.expression(inner)?)),
            Expr::IsNull(inner) => self.test(inner, "IS NULL"),
            Expr::IsNotNull(inner) => self.test(inner, "IS NOT NULL"),
            Expr::IsTrue(inner) => self.test(inner, "IS TRUE"),
            Expr::IsNotTrue(inner) => self.test(inner, "IS NOT TRUE"),
            Expr::IsFalse(inner) => self.test(inner, "IS FALSE"),
            Expr::IsNotFalse(inner) => self.test(inner, "IS NOT FALSE"),
            Expr::Between(between) => self.between(between, expr),
            Expr::InList(list) => self.in_list(list, expr),
            Expr::Like(like) => self.like(like, expr),
            Expr::Case(case) => self.case(case, expr),
            Expr::Cast(cast) => self.cast(cast, expr),
            Expr::ScalarFunction(call) => self.function(call, expr),
            _ => Err(self.refused(expr)),
        }
    }

    /// Returns an expression whose values are compared, grouped or sorted.
    pub(super) fn compared(&self, expr: &Expr) -> Result<String> {
        let data_type = self.type_of(expr)?;
        match (self.dialect.compares)(&data_type) {
            true => self.expression(expr),
            false => Err(Refusal::SqlType(self.dialect.name, data_type.to_string())),
        }
    }

    /// Returns an aggregate as SQL.
    pub(super) fn aggregate(&self, expr: &Expr) -> Result<String> {
        let Expr::AggregateFunction(AggregateFunction { func, params }) = expr.clone().unalias() else {
            return Err(self.refused(expr));
        };
        let types = params.args.iter().map(|arg| self.type_of(arg)).collect::<Result<Vec<_>>>()?;
        let known = self.dialect.aggregates.iter().find(|known| known.name == func.name());
        let (Some(known), true, None) = (known, params.order_by.is_empty(), params.null_treatment) else {
            return Err(self.refused(expr));
        };
        if !(known.takes)(&types) {
            return Err(self.refused(expr));
        }
        let arguments = params.args.iter().map(|arg| match params.distinct {
            true => self.compared(arg),
            false => self.expression(arg),
        });
        let arguments = arguments.collect::<Result<Vec<_>>>()?.join(", ");
        let distinct = if params.distinct { "DISTINCT " } else { "" };
        let filter = match &params.filter {
            Some(filter) => format!(" FILTER (WHERE {})", self.expression(filter)?),
            None => String::new(),
        };
        Ok(format!("{}({distinct}{arguments}){filter}", known.name))
    }

    /// Returns the refusal of an expression.
    pub(super) fn refused(&self, expr: &Expr) -> Refusal {
        Refusal::SqlExpression(self.dialect.name, expr.to_string())
    }

    fn column(&self, column: &Column, expr: &Expr) -> Result<String> {
        let found = self.inputs.iter().find_map(|(schema, alias)| {
            let index = schema.maybe_index_of_column(column)?;
            Some(format!("{alias}.c{index}"))
        });
        found.ok_or_else(|| self.refused(expr))
    }

    fn binary(&self, binary: &BinaryExpr, expr: &Expr) -> Result<String> {
        let BinaryExpr { left, op, right } = binary;
        if let Operator::And | Operator::Or = op {
            // A chain has one pair of brackets: databases bound how deep these may be.
            let operands = split_binary(expr, *op).into_iter().map(|operand| self.expression(operand));
            return Ok(format!("({})", operands.collect::<Result<Vec<_>>>()?.join(&format!(" {op} "))));
        }
        let word = match op {
            Operator::Eq => "=",
            Operator::NotEq => "<>",
            Operator::Lt => "<",
            Operator::LtEq => "<=",
            Operator::Gt => ">",
            Operator::GtEq => ">=",
            Operator::IsDistinctFrom => "IS DISTINCT FROM",
            Operator::IsNotDistinctFrom => "IS NOT DISTINCT FROM",
            Operator::Plus => "+",
            Operator::Minus => "-",
            Operator::Multiply => "*",
            _ => return Err(self.refused(expr)),
        };
        let (left, right) = match op {
            Operator::Plus | Operator::Minus | Operator::Multiply => {
                let (of_left, of_right, result) = (self.type_of(left)?, self.type_of(right)?, self.type_of(expr)?);
                if !(self.dialect.computes)(*op, &of_left, &of_right, &result) {
                    return Err(self.refused(expr));
                }
                (self.expression(left)?, self.expression(right)?)
            }
            _ => self.comparable(left, right, expr)?,
        };
        Ok(format!("({left} {word} {right})"))
    }

    /// Returns two operands of one type, which are compared.
    fn comparable(&self, left: &Expr, right: &Expr, expr: &Expr) -> Result<(String, String)> {
        match self.type_of(left)? == self.type_of(right)? {
            true => Ok((self.compared(left)?, self.compared(right)?)),
            false => Err(self.refused(expr)),
        }
    }

    fn test(&self, inner: &Expr, test: &str) -> Result<String> {
        Ok(format!("({} {test})", self.expression(inner)?))
    }

    fn between(&self, between: &Between, expr: &Expr) -> Result<String> {
        let Between { expr: value, negated, low, high } = between;
        let (tested, low) = self.comparable(value, low, expr)?;
        let (_, high) = self.comparable(value, high, expr)?;
        Ok(format!("({tested}{} BETWEEN {low} AND {high})", not(*negated)))
    }

    fn in_list(&self, list: &InList, expr: &Expr) -> Result<String> {
        let InList { expr: value, list, negated } = list;
        if list.is_empty() {
            return Err(self.refused(expr));
        }
        let items = list.iter().map(|item| Ok(self.comparable(value, item, expr)?.1)).collect::<Result<Vec<_>>>()?;
        Ok(format!("({}{} IN ({}))", self.compared(value)?, not(*negated), items.join(", ")))
    }

    /// A pattern with a backslash means different things in different databases.
    fn like(&self, like: &Like, expr: &Expr) -> Result<String> {
        let Like { negated, expr: value, pattern, escape_char, case_insensitive } = like;
        let text = match pattern.as_ref() {
            Expr::Literal(pattern, _) => pattern.try_as_str().flatten().filter(|pattern| !pattern.contains('\\')),
            _ => None,
        };
        if *case_insensitive || escape_char.is_some() || text.is_none() {
            return Err(self.refused(expr));
        }
        Ok(format!("({}{} LIKE {})", self.compared(value)?, not(*negated), self.expression(pattern)?))
    }

    fn case(&self, case: &Case, expr: &Expr) -> Result<String> {
        let Case { expr: None, when_then_expr, else_expr } = case else { return Err(self.refused(expr)) };
        let mut sql = String::from("(CASE");
        for (when, then) in when_then_expr {
            sql += &format!(" WHEN {} THEN {}", self.expression(when)?, self.expression(then)?);
        }
        if let Some(otherwise) = else_expr {
            sql += &format!(" ELSE {}", self.expression(otherwise)?);
        }
        Ok(sql + " END)")
    }

    fn cast(&self, cast: &Cast, expr: &Expr) -> Result<String> {
        let (from, to) = (self.type_of(&cast.expr)?, self.type_of(expr)?);
        match (self.dialect.type_name)(&to).filter(|_| (self.dialect.casts)(&from, &to)) {
            Some(name) => Ok(format!("CAST({} AS {name})", self.expression(&cast.expr)?)),
            None => Err(self.refused(expr)),
        }
    }

    fn function(&self, call: &ScalarFunction, expr: &Expr) -> Result<String> {
        let types = call.args.iter().map(|arg| self.type_of(arg)).collect::<Result<Vec<_>>>()?;
        let known = self.dialect.functions.iter().find(|known| known.name == call.name() && (known.takes)(&types));
        let Some(known) = known else { return Err(self.refused(expr)) };
        let arguments = call.args.iter().map(|arg| self.expression(arg)).collect::<Result<Vec<_>>>()?;
        Ok(format!("{}({})", known.spelled, arguments.join(", ")))
    }

    fn type_of(&self, expr: &Expr) -> Result<DataType> {
        expr.get_type(self.schema).map_err(|e| Refusal::Unreadable(e.strip_backtrace()))
    }
}

fn not(negated: bool) -> &'static str {
    if negated { " NOT" } else { "" }
}
