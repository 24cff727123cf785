//! Tests of keys: after travelling, they test rows as before. Bytes that are not keys are refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::borrow::Cow;

use arrow::array::{Array, Float64Array, Int32Array, Int64Array, StringArray, StringViewArray};
use datafusion::logical_expr::{Filter, LogicalPlan, LogicalPlanBuilder, ScalarUDFImpl};
use datafusion::prelude::{Expr, col, lit};
use portolan_connectors::testing::TEST_SQL;
use portolan_connectors::{Capabilities, EncodedPlan, Refusal};
use prost::Message;

use super::*;
use crate::ErrorKind;
use crate::encode::{decode, encode};
use crate::fake_mesh::{analysed, gateway};
use crate::mesh::MeshView;

fn ints(values: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

fn words(values: &[&str]) -> ArrayRef {
    Arc::new(StringViewArray::from_iter_values(values))
}

fn passed(keys: &SentKeys, columns: &[ArrayRef]) -> Vec<bool> {
    let found = keys.test.contains(columns, columns[0].len()).unwrap();
    assert_eq!(found.null_count(), 0);
    found.values().iter().collect()
}

/// Returns the keys as the receiver unpacks them.
fn travelled(keys: &Arc<SentKeys>) -> Arc<SentKeys> {
    SentKeys::unpack(keys.packed.clone()).unwrap()
}

#[test]
fn exactly_the_keys_pass() {
    let keys = travelled(&SentKeys::batch(&[ints((0..5000).map(|k| k * 1001))]).unwrap());
    let found = passed(&keys, &[ints(0..5_005_000)]);
    assert_eq!(found.iter().filter(|f| **f).count(), 5000);
    assert!(found.iter().enumerate().all(|(k, found)| *found == (k % 1001 == 0)));
}

#[test]
fn a_bloom_filter_lets_every_key_pass_and_few_others() {
    let keys = travelled(&SentKeys::bloom(&[ints((0..5000).map(|k| k * 1001))]).unwrap());
    let found = passed(&keys, &[ints(0..500_500)]);
    assert!(found.iter().step_by(1001).all(|found| *found));
    let wrong = found.iter().filter(|f| **f).count() - 500;
    assert!(wrong < 10_000, "{wrong}");
}

#[test]
fn keys_of_several_columns_are_compared_as_a_whole() {
    let columns = [ints([1, 2]), words(&["a", "b"])];
    for keys in [SentKeys::batch(&columns).unwrap(), SentKeys::bloom(&columns).unwrap()] {
        let found = passed(&travelled(&keys), &[ints([1, 1, 2, 2]), words(&["a", "b", "a", "b"])]);
        assert_eq!(found, [true, false, false, true], "{keys:?}");
    }
}

#[test]
fn a_null_is_no_key() {
    let rows: ArrayRef = Arc::new(Int64Array::from(vec![Some(0), None, Some(7)]));
    for keys in [SentKeys::batch(&[ints([0])]).unwrap(), SentKeys::bloom(&[ints([0])]).unwrap()] {
        assert_eq!(passed(&travelled(&keys), std::slice::from_ref(&rows)), [true, false, false]);
    }
}

#[test]
fn another_layout_is_the_same_and_another_type_is_refused() {
    let keys = travelled(&SentKeys::batch(&[words(&["a"])]).unwrap());
    assert_eq!(passed(&keys, &[Arc::new(StringArray::from(vec!["b", "a"])) as ArrayRef]), [false, true]);
    let keys = travelled(&SentKeys::batch(&[ints([1])]).unwrap());
    let narrow: ArrayRef = Arc::new(Int32Array::from(vec![1]));
    assert!(keys.test.contains(&[narrow], 1).is_err());
    assert!(keys.test.contains(&[], 1).is_err());
    let function = InKeys::new(keys);
    assert_eq!(function.return_type(&[DataType::Int64]).unwrap(), DataType::Boolean);
    assert!(function.return_type(&[DataType::Int32]).is_err());
    assert!(function.return_type(&[DataType::Int64, DataType::Int64]).is_err());
}

#[test]
fn bytes_that_are_not_keys_are_refused() {
    let refused = |bytes: Vec<u8>| SentKeys::unpack(bytes.into()).unwrap_err();
    assert_eq!(refused(vec![]).kind(), ErrorKind::InvalidQuery);
    assert_eq!(refused(vec![0xff; 100]).kind(), ErrorKind::InvalidQuery);
    let packed = SentKeys::batch(&[ints(0..100)]).unwrap().packed.clone();
    for end in 0..packed.len() {
        assert_eq!(refused(packed[..end].to_vec()).kind(), ErrorKind::InvalidQuery, "{end}");
    }
    // A flipped bit may make other keys. The test must then still run.
    for place in 0..packed.len() {
        let mut bent = packed.to_vec();
        bent[place] ^= 1 << (place % 8);
        if let Ok(keys) = SentKeys::unpack(bent.into()) {
            let _ = keys.test.contains(&[ints(0..100)], 100);
        }
    }
    let inner = Packed::decode(packed.as_ref()).unwrap().keys;
    let inner = zstd::bulk::decompress(&inner, 1 << 20).unwrap();
    for place in 0..inner.len() * 8 {
        let mut bent = inner.clone();
        bent[place / 8] ^= 1 << (place % 8);
        let bent = Packed { keys: zstd::bulk::compress(&bent, 1).unwrap(), bloom: None };
        if let Ok(keys) = SentKeys::unpack(bent.encode_to_vec().into()) {
            let _ = keys.test.contains(&[ints(0..100)], 100);
        }
    }
    let floats: ArrayRef = Arc::new(Float64Array::from(vec![0.0]));
    assert!(SentKeys::unpack(SentKeys::batch(&[floats]).unwrap().packed.clone()).is_err());
}

/// The wire form, as another program could write it.
#[derive(Clone, PartialEq, Message)]
struct Packed {
    #[prost(bytes = "vec", tag = "1")]
    keys: Vec<u8>,
    #[prost(bytes = "vec", optional, tag = "2")]
    bloom: Option<Vec<u8>>,
}

#[test]
fn a_bloom_filter_of_other_rows_is_refused() {
    let bloom = |columns: &[ArrayRef]| Packed::decode(SentKeys::bloom(columns).unwrap().packed.as_ref()).unwrap();
    let (a, b) = (bloom(&[ints(0..100)]), bloom(&[ints(1000..1100)]));
    let mixed = Packed { keys: a.keys, bloom: b.bloom };
    let error = SentKeys::unpack(mixed.encode_to_vec().into()).unwrap_err();
    assert!(error.chain().contains("in another way"), "{}", error.chain());
}

#[test]
fn keys_that_unpack_to_too_much_are_refused() {
    let zeros = vec![0_u8; packed::MAX_UNPACKED_BYTES + 1];
    let bomb = Packed { keys: zstd::bulk::compress(&zeros, 1).unwrap(), bloom: None }.encode_to_vec();
    assert!(bomb.len() < 1 << 20);
    assert_eq!(SentKeys::unpack(bomb.into()).unwrap_err().kind(), ErrorKind::ResourceExhausted);
    // So are many sets of keys, even if each alone is small enough.
    let most = SentKeys::batch(&[ints(0..(packed::MAX_UNPACKED_BYTES / 16) as i64)]).unwrap().packed.clone();
    assert_eq!(SentKeys::unpack_all(&vec![most.clone(); 7]).unwrap().len(), 7);
    assert_eq!(SentKeys::unpack_all(&vec![most; 9]).unwrap_err().kind(), ErrorKind::ResourceExhausted);
    let many = ints(0..(packed::MAX_UNPACKED_BYTES / 8) as i64);
    assert_eq!(SentKeys::batch(&[many]).unwrap_err().kind(), ErrorKind::ResourceExhausted);
}

#[test]
fn nulls_among_keys_are_refused() {
    // The packed schema has no nullable columns.
    let column: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
    assert!(SentKeys::batch(&[column]).is_err());
}

#[test]
fn views_travel_without_the_values_of_other_rows() {
    let long = words(&["a word that is too long for its view", "another that is too long, and does not travel"]);
    let one = SentKeys::batch(&[long.slice(0, 1)]).unwrap();
    let alone = SentKeys::batch(&[words(&["a word that is too long for its view"])]).unwrap();
    assert_eq!(one.packed.len(), alone.packed.len());
    assert_eq!(passed(&travelled(&one), &[long]), [true, false]);
}

/// Returns a plan that tests rows for two sets of keys, one of them twice.
async fn plan_with_keys() -> (LogicalPlan, Arc<MeshView>) {
    let engine = gateway().await;
    let view = engine.inner().mesh.view();
    let plan = analysed(&engine, "SELECT n_nationkey, n_name, n_regionkey FROM geo.places.nation").await;
    let (a, b) = (SentKeys::batch(&[ints([3])]).unwrap(), SentKeys::bloom(&[words(&["CHINA"])]).unwrap());
    let test = InKeys::call(a.clone(), vec![col("n_nationkey")])
        .and(InKeys::call(b, vec![col("n_name")]))
        .and(InKeys::call(a, vec![col("n_regionkey")]));
    (LogicalPlanBuilder::from(plan).filter(test).unwrap().build().unwrap(), view)
}

#[tokio::test]
async fn keys_of_one_column_become_a_list_in_a_filter() {
    let plan = analysed(&gateway().await, "SELECT n_nationkey, n_name FROM geo.places.nation").await;
    let listed = |test: Expr| {
        let filtered = LogicalPlanBuilder::from(plan.clone()).filter(test).unwrap().build().unwrap();
        match with_lists(&filtered).unwrap() {
            Cow::Owned(LogicalPlan::Filter(filter)) => Some(filter.predicate.to_string()),
            _ => None,
        }
    };
    let nation = || vec![col("n_nationkey")];
    let batch = |columns: &[ArrayRef]| SentKeys::batch(columns).unwrap();
    let few = InKeys::call(batch(&[ints([3, 5])]), nation());
    let list = "geo.places.nation.n_nationkey IN ([Int64(3), Int64(5)])";
    assert_eq!(listed(few.clone()).unwrap(), list);
    let nulls = col("n_nationkey").is_null().or(few.clone()).and(col("n_name").eq(lit("CHINA")));
    let expected =
        format!("(geo.places.nation.n_nationkey IS NULL OR {list}) AND geo.places.nation.n_name = Utf8(\"CHINA\")");
    assert_eq!(listed(nulls).unwrap(), expected);
    assert_eq!(listed(InKeys::call(batch(&[ints([])]), nation())).unwrap(), "Boolean(false)");
    // A list would be NULL for NULL, where the test is false.
    let below = Expr::Not(Box::new(few.clone()));
    let unlisted = |test: Expr| assert!(listed(test).is_none_or(|predicate| !predicate.contains(" IN (")));
    unlisted(below);
    unlisted(InKeys::call(batch(&[ints(0..SQL_KEYS as i64 + 1)]), nation()));
    unlisted(InKeys::call(batch(&[words(&["x".repeat(600 << 10).as_str()])]), vec![col("n_name")]));
    unlisted(InKeys::call(SentKeys::bloom(&[ints([3])]).unwrap(), nation()));
    unlisted(InKeys::call(batch(&[ints([3]), words(&["CHINA"])]), vec![col("n_nationkey"), col("n_name")]));
}

#[tokio::test]
async fn a_list_is_written_once_for_each_database() {
    let plan = analysed(&gateway().await, "SELECT n_nationkey, n_name FROM geo.places.nation").await;
    let filtered = |test: Expr| LogicalPlanBuilder::from(plan.clone()).filter(test).unwrap().build().unwrap();
    let database = Capabilities::database(&TEST_SQL);
    let admitted = |operator: &LogicalPlan| admit(operator, &database, &TEST_SQL);
    let many =
        |from: i64| InKeys::call(SentKeys::batch(&[ints(from..from + 16_000)]).unwrap(), vec![col("n_nationkey")]);
    let one = filtered(many(0));
    assert_eq!(admitted(&one), Ok(()));
    let LogicalPlan::Filter(Filter { predicate: Expr::ScalarFunction(call), .. }) = &one else { panic!() };
    let KeyTest::Exact(index) = &InKeys::of(call).unwrap().keys.test else { panic!() };
    let known = index.list_bytes(&TEST_SQL, &DataType::Int64, || panic!("the list is written again"));
    // The whole operator has this length, apart from the columns that both parts have.
    let whole = database.sql_bytes(&with_lists(&one).unwrap()).unwrap();
    assert!(known.clone().unwrap().abs_diff(whole) < 100, "{known:?} is not {whole}");
    // A query of the test database has at most a mebibyte, and each list takes 400 KB.
    let too_long = filtered(many(0).and(many(20_000)).and(many(40_000)));
    let refused = Err(Refusal::SqlLength("the test database", 1 << 20));
    assert_eq!(admitted(&too_long), refused);
    assert_eq!(database.admits(&with_lists(&too_long).unwrap()), refused);
    // Keys that cannot be a list.
    let bloom = filtered(InKeys::call(SentKeys::bloom(&[ints([3])]).unwrap(), vec![col("n_nationkey")]));
    assert!(admitted(&bloom).is_err());
    let zero = filtered(InKeys::call(SentKeys::batch(&[words(&["a\0b"])]).unwrap(), vec![col("n_name")]));
    assert!(admitted(&zero).is_err());
}

#[test]
fn one_limit_holds_for_every_list() {
    let long = words(&["x".repeat(400 << 10).as_str(), "y", "z".repeat(200 << 10).as_str()]);
    assert!(list(&col("a"), &long).is_none());
    // The strings of other rows, which are behind the same views, do not count.
    assert!(list(&col("a"), &long.slice(1, 2)).is_some());
    assert!(!can_list(&[long.slice(0, 1), long.slice(0, 1)]));
    assert!(list(&col("a"), &ints(0..SQL_KEYS as i64 + 1)).is_none());
}

#[tokio::test]
async fn keys_travel_beside_the_plan_once_each() {
    let (plan, view) = plan_with_keys().await;
    let encoded = encode(&plan, &view).unwrap();
    assert_eq!(encoded.keys.len(), 2);
    let decoded = decode(&encoded, &view).unwrap();
    assert_eq!(decoded.display_indent().to_string(), plan.display_indent().to_string());
    // The receiver may send it on.
    assert_eq!(encode(&decoded, &view).unwrap(), encoded);
}

#[tokio::test]
async fn a_plan_without_its_keys_is_refused() {
    let (plan, view) = plan_with_keys().await;
    let EncodedPlan { plan, keys } = encode(&plan, &view).unwrap();
    let swapped = vec![keys[1].clone(), keys[0].clone()];
    for keys in [vec![], keys[..1].to_vec(), swapped] {
        let error = decode(&EncodedPlan { plan: plan.clone(), keys }, &view).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidQuery, "{}", error.chain());
    }
}

#[tokio::test]
async fn sql_cannot_call_the_test() {
    let engine = gateway().await;
    let sql = "SELECT n_name FROM geo.places.nation WHERE portolan_in_keys(n_nationkey)";
    let error = engine.sql(sql).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidQuery, "{}", error.chain());
}
