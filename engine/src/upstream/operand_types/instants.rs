//! Compares dates, timestamps and times of different units without a cast to nanoseconds.
//!
//! DataFusion 55.2 casts to nanoseconds if it meets a date and a timestamp, or two timestamps of which one has
//! nanoseconds. So `valid_to = DATE '9999-12-31'`, or a join of a nanosecond column with a microsecond column, fails on
//! dates outside of 1677 to 2262. DataFusion does not compare times of two units at all. Its optimizer moves a cast
//! from a column to a literal and cuts the literal's digits, so that microseconds equal a literal between two of them.
//!
//! Here a constant gets the unit of the column that it meets, if the unit holds it exactly. All other operands are
//! compared as exact numbers of nanoseconds (`DECIMAL`). Branches get the finest unit, and are timestamps if one is.
//! Before: `CAST(valid_to AS Timestamp(ns)) = CAST(DATE '9999-12-31' AS Timestamp(ns))`.
//! After: `valid_to = TimestampMicrosecond(253402214400000000)`.
//! See <https://github.com/apache/datafusion/issues/8336>, <https://github.com/apache/datafusion/issues/22756> (units)
//! and <https://github.com/apache/datafusion/issues/22142> (literals).

mod constant;

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::Result;
use datafusion::logical_expr::{Expr, Operator, binary_expr, cast};
use datafusion::scalar::ScalarValue;

use self::constant::{Constant, literal};
pub(super) use self::constant::{fixed, nanoseconds_of};
use super::groups::{Group, Operand};
use super::unrelated::refusal;

/// The kind of an operand.
enum Instant {
    Constant(Constant),
    /// An operand that differs from row to row.
    Moving,
    /// NULL, or an operand that DataFusion decides about.
    Other,
}

/// Finds the common type of dates, timestamps and times among the operands.
pub(super) fn settle(group: Group, operands: &mut [Operand<'_>]) -> Result<()> {
    settle_times(operands);
    let has = |test: fn(&DataType) -> bool| operands.iter().any(|operand| test(operand.plain()));
    if !has(|t| matches!(t, DataType::Timestamp(..))) {
        return Ok(());
    }
    if has(|t| matches!(t, DataType::Date32 | DataType::Date64)) {
        drop_zones(operands);
    }
    let zone = operands.iter().find_map(|operand| match operand.plain() {
        DataType::Timestamp(_, Some(zone)) => Some(zone.clone()),
        _ => None,
    });
    if let Some(zone) = &zone {
        add_zone(operands, zone);
    }
    let instants: Vec<Instant> = operands.iter().map(|operand| instant(operand, zone.as_ref())).collect();
    let is_text = |operand: &Operand<'_>| operand.plain().is_string();
    // DataFusion decides how to read a string column.
    if operands.iter().zip(&instants).any(|(o, i)| is_text(o) && !matches!(i, Instant::Constant(_))) {
        return Ok(());
    }
    Instants { group, operands, instants }.settle()
}

/// Removes the zone of a timestamp next to a date, as DataFusion does.
fn drop_zones(operands: &mut [Operand<'_>]) {
    for operand in operands {
        if let DataType::Timestamp(unit, Some(_)) = operand.plain() {
            let naive = DataType::Timestamp(*unit, None);
            operand.cast(&naive);
        }
    }
}

/// Gives a naive timestamp the zone of the other operand, as DataFusion does.
fn add_zone(operands: &mut [Operand<'_>], zone: &Arc<str>) {
    for operand in operands {
        if let DataType::Timestamp(unit, None) = operand.plain() {
            let zoned = DataType::Timestamp(*unit, Some(zone.clone()));
            operand.cast(&zoned);
        }
    }
}

fn instant(operand: &Operand<'_>, zone: Option<&Arc<str>>) -> Instant {
    match operand.plain() {
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => {
            Constant::of(operand.expr).map_or(Instant::Moving, Instant::Constant)
        }
        data_type if data_type.is_string() => {
            Constant::of_text(operand.expr, zone).map_or(Instant::Other, Instant::Constant)
        }
        _ => Instant::Other,
    }
}

struct Instants<'a, 'b> {
    group: Group,
    operands: &'a mut [Operand<'b>],
    instants: Vec<Instant>,
}

impl Instants<'_, '_> {
    fn settle(mut self) -> Result<()> {
        let moving: Vec<DataType> = self.moving().map(without_zone).collect();
        let same = moving.windows(2).all(|pair| pair[0] == pair[1]);
        // The type of a branch is visible: a timestamp next to a date column does not become a date, whatever its
        // value.
        let keeps_type = match self.group {
            Group::Compared => true,
            Group::Branches => moving.first() == Some(&timestamp(self.finest_unit(&moving))),
        };
        if same && keeps_type && self.constants_fit(moving.first()) {
            self.replace_constants(moving.first());
            return Ok(());
        }
        let has_nanoseconds = moving.contains(&timestamp(TimeUnit::Nanosecond));
        match self.group {
            // DataFusion casts the other operands to nanoseconds, and fails on a row that nanoseconds do not hold.
            Group::Branches if has_nanoseconds => return self.refuse_constants(),
            Group::Compared if has_nanoseconds && same && self.all_outside() => self.bring_to(TimeUnit::Microsecond),
            Group::Compared if has_nanoseconds => self.bring_to_decimals(),
            group => match self.common_unit(&moving) {
                TimeUnit::Nanosecond if group == Group::Compared => self.bring_to_decimals(),
                unit => self.bring_to(unit),
            },
        }
        Ok(())
    }

    /// Returns the finest unit of the operands if it holds the constants, and the constants' finest unit otherwise.
    fn common_unit(&self, moving: &[DataType]) -> TimeUnit {
        [self.finest_unit(moving), TimeUnit::Microsecond]
            .into_iter()
            .find(|unit| self.constants_fit(Some(&timestamp(*unit))))
            .unwrap_or(TimeUnit::Nanosecond)
    }

    /// Returns the finest unit of the moving operands. As a branch, a constant timestamp counts by its type, too, but
    /// not for more than microseconds.
    fn finest_unit(&self, moving: &[DataType]) -> TimeUnit {
        let units = moving.iter().filter_map(|data_type| match data_type {
            DataType::Timestamp(unit, _) => Some(*unit),
            DataType::Date64 => Some(TimeUnit::Millisecond),
            _ => None,
        });
        let finest = units.max().unwrap_or(TimeUnit::Microsecond);
        if self.group == Group::Compared || moving.is_empty() {
            return finest;
        }
        let constants = self.operands.iter().zip(&self.instants).filter_map(|(operand, instant)| {
            match (instant, operand.plain()) {
                (Instant::Constant(_), DataType::Timestamp(unit, _)) => Some((*unit).min(TimeUnit::Microsecond)),
                _ => None,
            }
        });
        constants.max().map_or(finest, |unit| unit.max(finest))
    }

    fn moving(&self) -> impl Iterator<Item = &DataType> {
        let all = self.operands.iter().zip(&self.instants);
        all.filter(|(_, instant)| matches!(instant, Instant::Moving)).map(|(operand, _)| operand.plain())
    }

    fn constants(&self) -> impl Iterator<Item = &Constant> {
        self.instants.iter().filter_map(|instant| match instant {
            Instant::Constant(constant) => Some(constant),
            _ => None,
        })
    }

    /// True if each constant has an exact value of the type.
    fn constants_fit(&self, data_type: Option<&DataType>) -> bool {
        data_type.is_some_and(|data_type| self.constants().all(|constant| literal(constant, data_type).is_some()))
    }

    /// True if there are constants and nanoseconds hold none of them.
    fn all_outside(&self) -> bool {
        let mut constants = self.constants().peekable();
        constants.peek().is_some()
            && constants.all(|constant| literal(constant, &timestamp(TimeUnit::Nanosecond)).is_none())
    }

    fn replace_constants(&mut self, data_type: Option<&DataType>) {
        let Some(data_type) = data_type else { return };
        for (operand, instant) in self.operands.iter_mut().zip(&self.instants) {
            if let Instant::Constant(constant) = instant
                && let Some((expr, data_type)) = literal(constant, data_type)
            {
                operand.replace(expr, data_type);
            }
        }
    }

    /// Casts the moving operands to a unit, and gives the constants that unit.
    fn bring_to(&mut self, unit: TimeUnit) {
        self.replace_constants(Some(&timestamp(unit)));
        for (operand, instant) in self.operands.iter_mut().zip(&self.instants) {
            if let Instant::Moving = instant {
                let zone = match operand.plain() {
                    DataType::Timestamp(_, zone) => zone.clone(),
                    _ => None,
                };
                operand.cast(&DataType::Timestamp(unit, zone));
            }
        }
    }

    /// Replaces each operand with its number of nanoseconds.
    fn bring_to_decimals(&mut self) {
        for (operand, instant) in self.operands.iter_mut().zip(&self.instants) {
            let number = match instant {
                Instant::Constant(constant) => Some(decimal(constant.nanoseconds)),
                Instant::Moving => nanoseconds(operand.expr.clone(), operand.plain()),
                Instant::Other => None,
            };
            if let Some(number) = number {
                operand.replace(number, DataType::Decimal128(WIDEST, 0));
            }
        }
    }

    /// Refuses branches with a nanosecond column and a constant that nanoseconds do not hold.
    fn refuse_constants(&mut self) -> Result<()> {
        let nanoseconds = timestamp(TimeUnit::Nanosecond);
        if self.constants_fit(Some(&nanoseconds)) {
            self.replace_constants(Some(&nanoseconds));
            return Ok(());
        }
        let what = "a timestamp outside of the years 1677 to 2262 and one in nanoseconds have no common type: \
                    CAST the latter AS TIMESTAMP(6)";
        Err(refusal(self.operands, what))
    }
}

/// The number of digits of a decimal.
const WIDEST: u8 = 38;

fn timestamp(unit: TimeUnit) -> DataType {
    DataType::Timestamp(unit, None)
}

fn without_zone(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Timestamp(unit, _) => timestamp(*unit),
        other => other.clone(),
    }
}

/// Returns a number of nanoseconds as a literal.
pub(super) fn decimal(value: i128) -> Expr {
    Expr::Literal(ScalarValue::Decimal128(Some(value), WIDEST, 0), None)
}

/// Returns the number of nanoseconds of an expression's value.
pub(super) fn nanoseconds(expr: Expr, data_type: &DataType) -> Option<Expr> {
    let step = nanoseconds_of(data_type)?;
    let count = match data_type {
        DataType::Date32 => cast(cast(expr, DataType::Int32), DataType::Decimal128(10, 0)),
        DataType::Date64 => {
            let instant = cast(expr, DataType::Timestamp(TimeUnit::Millisecond, None));
            cast(cast(instant, DataType::Int64), DataType::Decimal128(20, 0))
        }
        _ => cast(cast(expr, DataType::Int64), DataType::Decimal128(20, 0)),
    };
    if step == 1 {
        return Some(count);
    }
    let step = Expr::Literal(ScalarValue::Decimal128(Some(step), 14, 0), None);
    Some(cast(binary_expr(count, Operator::Multiply, step), DataType::Decimal128(WIDEST, 0)))
}

/// Casts times of different units to one unit: the column's unit if it holds the constants exactly, the finest unit
/// otherwise. Every unit holds every time.
pub(super) fn settle_times(operands: &mut [Operand<'_>]) {
    let is_time = |operand: &Operand<'_>| matches!(operand.plain(), DataType::Time32(_) | DataType::Time64(_));
    let mut types = operands.iter().filter(|operand| is_time(operand)).map(Operand::plain);
    let first = types.next();
    if types.all(|data_type| Some(data_type) == first) {
        return;
    }
    let constant = |operand: &Operand<'_>| if is_time(operand) { Constant::of(operand.expr) } else { None };
    let constants: Vec<Option<Constant>> = operands.iter().map(constant).collect();
    let moving = operands.iter().zip(&constants).filter(|(operand, constant)| is_time(operand) && constant.is_none());
    let finest = moving.map(|(operand, _)| operand.plain().clone()).min_by_key(nanoseconds_of);
    let common = finest.unwrap_or(DataType::Time64(TimeUnit::Microsecond));
    let holds_all = constants.iter().flatten().all(|constant| literal(constant, &common).is_some());
    let common = if holds_all { common } else { DataType::Time64(TimeUnit::Nanosecond) };
    for (operand, constant) in operands.iter_mut().zip(&constants) {
        match constant.as_ref().and_then(|constant| literal(constant, &common)) {
            Some((expr, data_type)) => operand.replace(expr, data_type),
            None if is_time(operand) => operand.cast(&common),
            None => {}
        }
    }
}
