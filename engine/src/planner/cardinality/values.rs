//! A literal in the form in which statistics know values.

use datafusion::common::ScalarValue;
use portolan_catalog::StatisticValue;

/// The literal on the scale of [`StatisticValue`]; `None` for NULL and for types that statistics do not know.
pub(super) fn statistic_value(value: &ScalarValue) -> Option<StatisticValue> {
    use ScalarValue as V;
    let number = match value {
        V::Utf8(text) | V::Utf8View(text) | V::LargeUtf8(text) => return text.clone().map(StatisticValue::Text),
        V::Dictionary(_, value) => return statistic_value(value),
        V::Boolean(value) => f64::from(u8::from((*value)?)),
        V::Float16(value) => f64::from((*value)?),
        V::Float32(value) => f64::from((*value)?),
        V::Float64(value) => (*value)?,
        V::Decimal32(value, _, scale) => f64::from((*value)?) / 10f64.powi(i32::from(*scale)),
        V::Decimal64(value, _, scale) => (*value)? as f64 / 10f64.powi(i32::from(*scale)),
        V::Decimal128(value, _, scale) => (*value)? as f64 / 10f64.powi(i32::from(*scale)),
        V::Int8(value) => f64::from((*value)?),
        V::Int16(value) => f64::from((*value)?),
        V::Int32(value) | V::Date32(value) => f64::from((*value)?),
        V::Int64(value) => (*value)? as f64,
        V::UInt8(value) => f64::from((*value)?),
        V::UInt16(value) => f64::from((*value)?),
        V::UInt32(value) => f64::from((*value)?),
        V::UInt64(value) => (*value)? as f64,
        V::Date64(value) => (*value)? as f64 / 86_400_000.0,
        V::Time32Second(value) => f64::from((*value)?),
        V::Time32Millisecond(value) => f64::from((*value)?) / 1e3,
        V::TimestampSecond(value, _) | V::DurationSecond(value) => (*value)? as f64,
        V::TimestampMillisecond(value, _) | V::DurationMillisecond(value) => (*value)? as f64 / 1e3,
        V::Time64Microsecond(value) | V::TimestampMicrosecond(value, _) | V::DurationMicrosecond(value) => {
            (*value)? as f64 / 1e6
        }
        V::Time64Nanosecond(value) | V::TimestampNanosecond(value, _) | V::DurationNanosecond(value) => {
            (*value)? as f64 / 1e9
        }
        _ => return None,
    };
    number.is_finite().then_some(StatisticValue::Number(number))
}
