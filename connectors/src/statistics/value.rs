//! Converts values of any type into values of statistics.

use datafusion::common::ScalarValue;
use portolan_catalog::StatisticValue;

/// The length of the longest string in statistics, in bytes. Nodes exchange statistics, and longer strings do not
/// improve estimates.
const MAX_TEXT_BYTES: usize = 256;

/// The number of seconds of a day. Statistics have dates in days, and times in seconds.
pub const SECONDS_A_DAY: f64 = 86_400.0;

/// Returns the value on the scale of its type, in the units of [`StatisticValue`]. Returns `None` for NULL, for numbers
/// that are not finite, for long strings, and for types without a scale.
pub fn statistic_value(value: &ScalarValue) -> Option<StatisticValue> {
    if let Some(text) = value.try_as_str() {
        return text.filter(|t| t.len() <= MAX_TEXT_BYTES).map(|t| StatisticValue::Text(t.to_owned()));
    }
    if let ScalarValue::Dictionary(_, value) = value {
        return statistic_value(value);
    }
    number(value).filter(|n| n.is_finite()).map(StatisticValue::Number)
}

fn number(value: &ScalarValue) -> Option<f64> {
    use ScalarValue as S;
    Some(match value {
        S::Boolean(v) => f64::from(u8::from((*v)?)),
        S::Int8(v) => f64::from((*v)?),
        S::Int16(v) => f64::from((*v)?),
        S::Int32(v) => f64::from((*v)?),
        S::Int64(v) => (*v)? as f64,
        S::UInt8(v) => f64::from((*v)?),
        S::UInt16(v) => f64::from((*v)?),
        S::UInt32(v) => f64::from((*v)?),
        S::UInt64(v) => (*v)? as f64,
        S::Float16(v) => f64::from((*v)?),
        S::Float32(v) => f64::from((*v)?),
        S::Float64(v) => (*v)?,
        S::Decimal32(v, _, scale) => f64::from((*v)?) / ten_to(*scale),
        S::Decimal64(v, _, scale) => (*v)? as f64 / ten_to(*scale),
        S::Decimal128(v, _, scale) => (*v)? as f64 / ten_to(*scale),
        S::Decimal256(v, _, scale) => (*v)?.to_i128()? as f64 / ten_to(*scale),
        S::Date32(v) => f64::from((*v)?),
        S::Date64(v) => (*v)? as f64 / 1e3 / SECONDS_A_DAY,
        S::Time32Second(v) => f64::from((*v)?),
        S::Time32Millisecond(v) => f64::from((*v)?) / 1e3,
        S::TimestampSecond(v, _)
        | S::Time64Microsecond(v)
        | S::Time64Nanosecond(v)
        | S::TimestampMillisecond(v, _)
        | S::TimestampMicrosecond(v, _)
        | S::TimestampNanosecond(v, _)
        | S::DurationSecond(v)
        | S::DurationMillisecond(v)
        | S::DurationMicrosecond(v)
        | S::DurationNanosecond(v) => (*v)? as f64 / ticks_a_second(value),
        _ => return None,
    })
}

fn ticks_a_second(value: &ScalarValue) -> f64 {
    use ScalarValue as S;
    match value {
        S::TimestampMillisecond(..) | S::DurationMillisecond(_) => 1e3,
        S::TimestampMicrosecond(..) | S::DurationMicrosecond(_) | S::Time64Microsecond(_) => 1e6,
        S::TimestampNanosecond(..) | S::DurationNanosecond(_) | S::Time64Nanosecond(_) => 1e9,
        _ => 1.0,
    }
}

fn ten_to(scale: i8) -> f64 {
    10f64.powi(i32::from(scale))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use arrow::datatypes::{DataType, i256};

    use super::*;

    fn number_of(value: ScalarValue) -> Option<f64> {
        match statistic_value(&value) {
            Some(StatisticValue::Number(n)) => Some(n),
            Some(StatisticValue::Text(t)) => t.parse().ok(),
            None => None,
        }
    }

    #[test]
    fn every_type_has_its_scale() {
        use ScalarValue as S;
        let utc = || Some(Arc::from("UTC"));
        for (value, expected) in [
            (S::Boolean(Some(true)), Some(1.0)),
            (S::Int8(Some(-3)), Some(-3.0)),
            (S::UInt64(Some(7)), Some(7.0)),
            (S::Float32(Some(0.5)), Some(0.5)),
            (S::Decimal128(Some(12345), 15, 2), Some(123.45)),
            (S::Decimal256(Some(i256::from_i128(-5)), 40, 1), Some(-0.5)),
            (S::Date32(Some(10)), Some(10.0)),
            (S::Date64(Some(864_000_000)), Some(10.0)),
            (S::TimestampMicrosecond(Some(1_500_000), utc()), Some(1.5)),
            (S::TimestampSecond(Some(9), None), Some(9.0)),
            (S::Time64Nanosecond(Some(2_000_000_000)), Some(2.0)),
            (S::Time32Millisecond(Some(250)), Some(0.25)),
            (S::DurationMillisecond(Some(20)), Some(0.02)),
            (S::Utf8View(Some("42".into())), Some(42.0)),
            (S::Dictionary(Box::new(DataType::Int8), Box::new(S::Int32(Some(4)))), Some(4.0)),
            (S::Int32(None), None),
            (S::Utf8(None), None),
            (S::Float64(Some(f64::NAN)), None),
            (S::Float64(Some(f64::INFINITY)), None),
            (S::Binary(Some(vec![1])), None),
            (S::Utf8(Some("1".repeat(300))), None),
        ] {
            assert_eq!(number_of(value.clone()), expected, "{value:?}");
        }
    }

    #[test]
    fn values_survive_the_catalog_exchange() {
        for value in [ScalarValue::Int64(Some(5)), ScalarValue::Utf8(Some("5".into())), ScalarValue::Float64(Some(0.1))]
        {
            let value = statistic_value(&value).unwrap();
            let text = serde_json::to_string(&value).unwrap();
            assert_eq!(serde_json::from_str::<StatisticValue>(&text).unwrap(), value, "{text}");
        }
    }
}
