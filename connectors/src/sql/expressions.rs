//! Expressions as SQL. Each operator has brackets around it.

use std::cell::Cell;

use arrow::datatypes::DataType;
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::logical_expr::expr::{InList, ScalarFunction};
use datafusion::logical_expr::utils::split_binary;
use datafusion::logical_expr::{Between, BinaryExpr, Case, Cast, Expr, ExprSchemable, Like, Operator};

use super::allowed::{Shape, SqlKind, SqlOperand, SqlSpelling};
use super::dialect::SqlDialect;
use super::literals::{array, literal};
use super::numbers::{bounds, digits};
use super::operators::{Input, Writer};
use super::patterns::pattern;
use super::table::ColumnUsage;
use super::templates::{Parts, exact, filled};
use crate::refusal::Refusal;

type Result<T> = std::result::Result<T, Refusal>;

/// The number of operands in one pair of brackets. Parsers follow a chain operand by operand.
const CHAIN: usize = 100;

/// The length of a list of literals from which it is an array, in databases that have arrays.
const LONG_LIST: usize = 20;

/// The inputs of an operator, as its expressions read them.
pub(super) struct Scope<'a> {
    pub(super) writer: &'a Writer<'a>,
    /// The columns of all inputs.
    pub(super) schema: &'a DFSchema,
    pub(super) inputs: Vec<&'a Input<'a>>,
    /// The number of brackets around the present expression.
    pub(super) brackets: Cell<usize>,
}

impl<'a> Scope<'a> {
    pub(super) fn new(writer: &'a Writer<'a>, schema: &'a DFSchema, inputs: Vec<&'a Input<'a>>) -> Self {
        Self { writer, schema, inputs, brackets: Cell::new(0) }
    }

    pub(super) fn dialect(&self) -> &'a SqlDialect {
        self.writer.dialect
    }

    /// Returns an expression as SQL.
    pub(super) fn expression(&self, expr: &Expr) -> Result<String> {
        let brackets = self.brackets.get();
        if brackets >= self.dialect().max_brackets {
            let nested = format!("more than {} brackets inside one another", self.dialect().max_brackets);
            return Err(Refusal::SqlExpression(self.dialect().name, nested));
        }
        self.brackets.set(brackets + 1);
        let written = self.nested(expr);
        self.brackets.set(brackets);
        // A template may repeat an operand, so that a text could double with each bracket.
        written.and_then(|sql| self.writer.bounded(sql))
    }

    fn nested(&self, expr: &Expr) -> Result<String> {
        match expr {
            Expr::Alias(alias) => self.expression(&alias.expr),
            Expr::Column(column) => self.column(column, expr),
            Expr::Literal(value, _) => literal(value, self.dialect()).ok_or_else(|| self.refused(expr)),
            Expr::BinaryExpr(binary) => self.binary(binary, expr),
            Expr::Not(inner) => self.spelled("NOT", &[inner], expr),
            Expr::IsNull(inner) => self.spelled("IS NULL", &[inner], expr),
            Expr::IsNotNull(inner) => self.spelled("IS NOT NULL", &[inner], expr),
            Expr::IsTrue(inner) => self.spelled("IS TRUE", &[inner], expr),
            Expr::IsNotTrue(inner) => self.spelled("IS NOT TRUE", &[inner], expr),
            Expr::IsFalse(inner) => self.spelled("IS FALSE", &[inner], expr),
            Expr::IsNotFalse(inner) => self.spelled("IS NOT FALSE", &[inner], expr),
            Expr::IsUnknown(inner) => self.spelled("IS NULL", &[inner], expr),
            Expr::IsNotUnknown(inner) => self.spelled("IS NOT NULL", &[inner], expr),
            Expr::Negative(inner) => self.spelled("unary -", &[inner], expr),
            Expr::Between(between) => self.between(between, expr),
            Expr::InList(list) => self.in_list(list, expr),
            Expr::Like(like) => self.like(like, expr),
            Expr::Case(case) => self.case(case, expr),
            Expr::Cast(cast) => self.cast(cast, expr),
            Expr::ScalarFunction(call) => self.function(call, expr),
            Expr::ScalarSubquery(subquery) if subquery.outer_ref_columns.is_empty() => {
                match self.dialect().has(Shape::ScalarSubquery) {
                    true => self.writer.scalar_subquery(&subquery.subquery, || self.refused(expr)),
                    false => Err(self.refused(expr)),
                }
            }
            _ => Err(self.refused(expr)),
        }
    }

    /// Returns an expression and what is known about it.
    pub(super) fn operand(&self, expr: &Expr) -> Result<SqlOperand> {
        let literal = match expr {
            Expr::Literal(value, _) => Some(value.clone()),
            Expr::Alias(alias) => self.operand(&alias.expr)?.literal,
            _ => None,
        };
        Ok(SqlOperand {
            sql: self.expression(expr)?,
            data_type: self.type_of(expr)?,
            literal,
            bounds: bounds(expr, self.schema),
            digits: digits(expr, self.schema),
        })
    }

    /// Returns a key of a group, of rows without repetition or of an order: `use_as` is the name of its row in the
    /// allow-list.
    pub(super) fn key(&self, use_as: &str, expr: &Expr) -> Result<String> {
        let operand = self.operand(expr)?;
        if operand.literal.is_some() {
            // Some databases read a number here as the position of a column.
            return Err(self.refused(expr));
        }
        let data_type = operand.data_type.clone();
        let operands = [operand];
        let row = self.dialect().operator(use_as, &operands, &data_type);
        let row = row.ok_or_else(|| Refusal::SqlType(self.dialect().name, data_type.to_string()))?;
        self.fill(row, &operands, &data_type, expr)
    }

    /// Returns the comparison of two operands.
    pub(super) fn comparison(&self, name: &str, operands: [SqlOperand; 2], expr: &Expr) -> Result<String> {
        self.comparable(&operands, expr)?;
        let row = self.dialect().operator(name, &operands, &DataType::Boolean);
        let row = row.ok_or_else(|| Refusal::SqlType(self.dialect().name, operands[0].data_type.to_string()))?;
        self.fill(row, &operands, &DataType::Boolean, expr)
    }

    /// Returns the refusal of an expression.
    pub(super) fn refused(&self, expr: &Expr) -> Refusal {
        Refusal::SqlExpression(self.dialect().name, expr.to_string())
    }

    /// Returns the position of a column among those of an input; `None` for any other expression.
    pub(super) fn position(&self, expr: &Expr) -> Option<(&'a Input<'a>, usize)> {
        match expr {
            Expr::Alias(alias) => self.position(&alias.expr),
            Expr::Column(column) => {
                self.inputs.iter().find_map(|input| Some((*input, input.schema().maybe_index_of_column(column)?)))
            }
            _ => None,
        }
    }

    pub(super) fn fill(
        &self,
        row: &SqlSpelling,
        operands: &[SqlOperand],
        result: &DataType,
        expr: &Expr,
    ) -> Result<String> {
        let parts = Parts { result: Some(result.clone()), ..Parts::default() };
        filled(row.sql, operands, &parts, self.dialect()).ok_or_else(|| self.refused(expr))
    }

    fn column(&self, column: &Column, expr: &Expr) -> Result<String> {
        let (input, index) = self.position(expr).ok_or_else(|| self.refused(expr))?;
        match input.columns[index].usage {
            ColumnUsage::All => Ok(input.column(index)),
            ColumnUsage::Returned => Err(Refusal::SqlReturned(self.dialect().name, column.name.clone())),
        }
    }

    /// Writes an operator over these operands.
    fn spelled(&self, name: &str, operands: &[&Expr], expr: &Expr) -> Result<String> {
        let operands = operands.iter().map(|operand| self.operand(operand)).collect::<Result<Vec<_>>>()?;
        let result = self.type_of(expr)?;
        let row = self.dialect().operator(name, &operands, &result).ok_or_else(|| self.refused(expr))?;
        self.fill(row, &operands, &result, expr)
    }

    fn binary(&self, binary: &BinaryExpr, expr: &Expr) -> Result<String> {
        let BinaryExpr { left, op, right } = binary;
        match op {
            Operator::And | Operator::Or => {
                let row = self.dialect().operator(&op.to_string(), &[], &DataType::Boolean);
                row.ok_or_else(|| self.refused(expr))?;
                let operands = split_binary(expr, *op);
                let written =
                    operands.into_iter().map(|operand| self.condition(operand)).collect::<Result<Vec<_>>>()?;
                Ok(chain(written, &format!(" {op} ")))
            }
            Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom => {
                let name = if *op == Operator::NotEq { "<>".to_owned() } else { op.to_string() };
                self.comparison(&name, [self.operand(left)?, self.operand(right)?], expr)
            }
            Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide | Operator::Modulo => {
                self.spelled(&op.to_string(), &[left, right], expr)
            }
            _ => Err(self.refused(expr)),
        }
    }

    /// Returns an expression that is true, false or NULL.
    pub(super) fn condition(&self, expr: &Expr) -> Result<String> {
        let is_chain = matches!(expr, Expr::BinaryExpr(binary) if matches!(binary.op, Operator::And | Operator::Or));
        // The type of a long chain would be that of each of its operands, one inside the other.
        match is_chain || self.type_of(expr)? == DataType::Boolean {
            true => self.expression(expr),
            false => Err(self.refused(expr)),
        }
    }

    /// Checks that operands are compared as values of one type.
    fn comparable(&self, operands: &[SqlOperand], expr: &Expr) -> Result<()> {
        let [first, others @ ..] = operands else { return Err(self.refused(expr)) };
        let alike = |other: &SqlOperand| {
            first.data_type == other.data_type || first.data_type.is_string() && other.data_type.is_string()
        };
        if others.iter().all(alike) { Ok(()) } else { Err(self.refused(expr)) }
    }

    fn between(&self, between: &Between, expr: &Expr) -> Result<String> {
        let Between { expr: value, negated, low, high } = between;
        let operands = [self.operand(value)?, self.operand(low)?, self.operand(high)?];
        self.comparable(&operands, expr)?;
        let row = self.dialect().operator("BETWEEN", &operands, &DataType::Boolean);
        let row = row.ok_or_else(|| Refusal::SqlType(self.dialect().name, operands[0].data_type.to_string()))?;
        Ok(negated_if(*negated, self.fill(row, &operands, &DataType::Boolean, expr)?))
    }

    fn in_list(&self, list: &InList, expr: &Expr) -> Result<String> {
        let InList { expr: value, list, negated } = list;
        let mut operands =
            std::iter::once(value.as_ref()).chain(list).map(|e| self.operand(e)).collect::<Result<Vec<_>>>()?;
        for item in operands.iter_mut().skip(1).filter(|item| item.literal.as_ref().is_some_and(ScalarValue::is_null)) {
            // The cast of NULL to a string has a collation, which does not go together with that of a column.
            item.sql = "NULL".to_owned();
        }
        self.comparable(&operands, expr)?;
        if list.is_empty() {
            return Err(self.refused(expr));
        }
        if let Some(written) = self.array(&operands, expr)? {
            return Ok(negated_if(*negated, written));
        }
        let row = self.dialect().operator("IN", &operands, &DataType::Boolean);
        let row = row.ok_or_else(|| Refusal::SqlType(self.dialect().name, operands[0].data_type.to_string()))?;
        Ok(negated_if(*negated, self.fill(row, &operands, &DataType::Boolean, expr)?))
    }

    /// Returns a long list of literals as an array, if the dialect has arrays.
    fn array(&self, operands: &[SqlOperand], expr: &Expr) -> Result<Option<String>> {
        let Some(row) = self.dialect().operator("IN array", operands, &DataType::Boolean) else { return Ok(None) };
        let literals: Option<Vec<&ScalarValue>> = operands[1..].iter().map(|o| o.literal.as_ref()).collect();
        let Some(literals) = literals.filter(|literals| literals.len() >= LONG_LIST) else { return Ok(None) };
        let Some(members) = array(literals.into_iter()) else { return Ok(None) };
        let operands = [operands[0].clone(), SqlOperand { sql: members, ..operands[1].clone() }];
        let result = operands[0].data_type.clone();
        self.fill(row, &operands, &result, expr).map(Some)
    }

    fn like(&self, like: &Like, expr: &Expr) -> Result<String> {
        let Like { negated, expr: value, pattern: literal, escape_char: None, case_insensitive: false } = like else {
            return Err(self.refused(expr));
        };
        let operands = [self.operand(value)?, self.operand(literal)?];
        let text = operands[1].literal.as_ref().and_then(|text| text.try_as_str().flatten());
        let written = text.and_then(|text| pattern(text, self.dialect())).ok_or_else(|| self.refused(expr))?;
        let row = self.dialect().operator("LIKE", &operands, &DataType::Boolean).ok_or_else(|| self.refused(expr))?;
        let [value, literal] = operands;
        let operands = [value, SqlOperand { sql: written, ..literal }];
        Ok(negated_if(*negated, self.fill(row, &operands, &DataType::Boolean, expr)?))
    }

    fn case(&self, case: &Case, expr: &Expr) -> Result<String> {
        let Case { expr: value, when_then_expr, else_expr } = case;
        let result = self.type_of(expr)?;
        let mut branches = when_then_expr.iter().map(|(_, then)| self.operand(then)).collect::<Result<Vec<_>>>()?;
        if let Some(otherwise) = else_expr {
            branches.push(self.operand(otherwise)?);
        }
        self.comparable(&branches, expr)?;
        self.dialect().operator("CASE", &branches, &result).ok_or_else(|| self.refused(expr))?;
        let mut sql = String::from("(CASE");
        for ((when, _), then) in when_then_expr.iter().zip(&branches) {
            let when = match value {
                Some(value) => self.comparison("=", [self.operand(value)?, self.operand(when)?], expr)?,
                None => self.condition(when)?,
            };
            sql += &format!(" WHEN {when} THEN {}", exact(then, self.dialect()));
        }
        if let (Some(_), Some(otherwise)) = (else_expr, branches.last()) {
            sql += &format!(" ELSE {}", exact(otherwise, self.dialect()));
        }
        Ok(sql + " END)")
    }

    fn cast(&self, cast: &Cast, expr: &Expr) -> Result<String> {
        let operand = self.operand(&cast.expr)?;
        let to = self.type_of(expr)?;
        if operand.data_type == to || operand.data_type.is_string() && to.is_string() {
            return Ok(operand.sql);
        }
        let name = SqlKind::of(&to).ok_or_else(|| self.refused(expr))?.name();
        let operands = [operand];
        let row = self.dialect().cast(name, &operands, &to).ok_or_else(|| self.refused(expr))?;
        self.fill(row, &operands, &to, expr)
    }

    fn function(&self, call: &ScalarFunction, expr: &Expr) -> Result<String> {
        let (name, arguments) = match (call.name(), call.args.as_slice()) {
            ("date_part", [Expr::Literal(part, _), argument]) => {
                let part = part.try_as_str().flatten().ok_or_else(|| self.refused(expr))?;
                (format!("date_part {}", part.to_lowercase()), std::slice::from_ref(argument))
            }
            (name, arguments) => (name.to_owned(), arguments),
        };
        let operands = arguments.iter().map(|argument| self.operand(argument)).collect::<Result<Vec<_>>>()?;
        let result = self.type_of(expr)?;
        if matches!(name.as_str(), "coalesce" | "nullif") {
            self.comparable(&operands, expr)?;
        }
        let row = self.dialect().function(&name, &operands, &result).ok_or_else(|| self.refused(expr))?;
        self.fill(row, &operands, &result, expr)
    }

    pub(super) fn type_of(&self, expr: &Expr) -> Result<DataType> {
        expr.get_type(self.schema).map_err(|e| Refusal::Unreadable(e.strip_backtrace()))
    }
}

/// Returns a chain of operands. It has one pair of brackets, unless it is long: databases bound how deep brackets may be,
/// and how long a chain in one pair may be.
fn chain(mut operands: Vec<String>, between: &str) -> String {
    while operands.len() > CHAIN {
        operands = operands.chunks(CHAIN).map(|part| format!("({})", part.join(between))).collect();
    }
    format!("({})", operands.join(between))
}

fn negated_if(negated: bool, condition: String) -> String {
    if negated { format!("(NOT {condition})") } else { condition }
}
