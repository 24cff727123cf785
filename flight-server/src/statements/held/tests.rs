//! Tests of the statements that clients hold.

#![allow(clippy::unwrap_used)]

use arrow::array::{ArrayRef, UInt8Array};
use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;
use portolan_connectors::AccountKey;
use portolan_engine::Engine;

use super::*;

fn store(most: usize, most_per_principal: usize, idle: Duration) -> Statements {
    let limits = ServerLimits {
        statements: most,
        statements_per_principal: most_per_principal,
        statement_idle: idle,
        ..ServerLimits::default()
    };
    Statements::new(&limits)
}

fn applied() -> Statement {
    Statement::new(Kind::Applied, Arc::new(Schema::empty()), Strings::Plain)
}

#[test]
fn handles_are_bound_to_their_principal() {
    let store = store(10, 10, Duration::from_secs(60));
    let (ann, bob) = (Principal::new("ann"), Principal::new("bob"));
    let handle = store.hold(&ann, applied()).unwrap();
    assert!(store.find(&ann, &handle).is_ok());
    let kind = |outcome: Result<Arc<Statement>>| outcome.err().map(|e| e.kind());
    assert_eq!(kind(store.find(&bob, &handle)), Some(ErrorKind::PermissionDenied));
    assert!(store.close(&bob, &handle).is_err());
    assert_eq!(kind(store.find(&ann, random_token().as_bytes())), Some(ErrorKind::NotFound));
    assert_eq!(kind(store.find(&ann, &[0xff; 64])), Some(ErrorKind::NotFound));
    store.close(&ann, &handle).unwrap();
    assert_eq!(kind(store.find(&ann, &handle)), Some(ErrorKind::NotFound));
}

#[test]
fn the_longest_idle_makes_way_and_running_ones_stay() {
    let store = store(10, 2, Duration::from_secs(60));
    let ann = Principal::new("ann");
    let first = store.hold(&ann, applied()).unwrap();
    let running = store.find(&ann, &first).unwrap();
    let second = store.hold(&ann, applied()).unwrap();
    let third = store.hold(&ann, applied()).unwrap();
    assert!(store.find(&ann, &first).is_ok());
    assert!(store.find(&ann, &second).is_err());
    let also_running = store.find(&ann, &third).unwrap();
    assert_eq!(store.hold(&ann, applied()).unwrap_err().kind(), ErrorKind::ResourceExhausted);
    assert!(store.hold(&Principal::new("bob"), applied()).is_ok());
    drop((running, also_running));
    assert!(store.hold(&ann, applied()).is_ok());
}

#[test]
fn those_of_a_full_principal_go_in_some_number_and_others_one_by_one() {
    let ann = Principal::new("ann");
    let left = |store: &Statements, handles: &[Bytes]| {
        let held = store.lock();
        handles.iter().filter(|handle| held.statements.contains_key(key_of(handle).unwrap())).count()
    };
    for (most, most_per_principal, stay) in [(100, 32, 29), (32, 100, 31)] {
        let store = store(most, most_per_principal, Duration::from_secs(60));
        let handles: Vec<_> = (0..32).map(|_| store.hold(&ann, applied()).unwrap()).collect();
        assert_eq!(left(&store, &handles), 32);
        store.hold(&ann, applied()).unwrap();
        assert_eq!(left(&store, &handles), stay);
        // The oldest statements were dropped.
        assert_eq!(left(&store, &handles[32 - stay..]), stay);
    }
}

#[test]
fn parameters_are_bounded_in_sum() {
    let store = store(10, 10, Duration::from_secs(60));
    let rows = |n: usize| {
        let column: ArrayRef = Arc::new(UInt8Array::from(vec![0; n]));
        Parameters::from(vec![RecordBatch::try_from_iter([("$1", column)]).unwrap()])
    };
    let ann = Principal::new("ann");
    store.room_for(&ann, &rows(MOST_BYTES / 2)).unwrap();
    let error = store.room_for(&ann, &rows(MOST_BYTES + 1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
}

#[test]
fn idle_ones_are_forgotten() {
    let store = store(10, 10, Duration::ZERO);
    let ann = Principal::new("ann");
    let handle = store.hold(&ann, applied()).unwrap();
    std::thread::sleep(Duration::from_millis(2));
    assert!(store.find(&ann, &handle).is_err());
}

/// Checks that the totals are those of the statements, each of which is looked at.
fn check_totals(store: &Statements) {
    let held = store.lock();
    let mut counted: HashMap<AccountKey, (usize, usize)> = HashMap::new();
    for statement in held.statements.values() {
        let (count, sum) = counted.entry(statement.owner.account()).or_default();
        *count += 1;
        *sum += statement.statement.bytes();
    }
    assert_eq!(held.totals, Totals::from(counted));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_totals_follow_the_statements() {
    let (ann, bob) = (Principal::new("ann"), Principal::new("bob"));
    let session = Engine::builder().cpu_threads(1).build().unwrap().session(ann.clone());
    let prepared = session.prepare("SELECT $1 + 1").await.unwrap();
    let store = store(20, 8, Duration::from_secs(60));
    let statement =
        Statement::new(Kind::Prepared(prepared, Mutex::default()), Arc::new(Schema::empty()), Strings::Plain);
    let handle = store.hold(&ann, statement).unwrap();
    check_totals(&store);
    let before = store.lock().totals.of(&ann);
    {
        let statement = store.find(&ann, &handle).unwrap();
        let column: ArrayRef = Arc::new(UInt8Array::from(vec![0; 10_000]));
        let rows = RecordBatch::try_from_iter([("$1", column)]).unwrap();
        if let Kind::Prepared(_, parameters) = &statement.kind {
            *lock(parameters) = [rows].into();
        }
        store.recount(&handle);
    }
    check_totals(&store);
    let after = store.lock().totals.of(&ann);
    assert!(after.0 == before.0 && after.1 >= before.1 + 10_000, "{before:?} {after:?}");
    // Each principal has more statements than the store keeps for it.
    let handles: Vec<_> =
        (0..12).map(|_| (store.hold(&ann, applied()).unwrap(), store.hold(&bob, applied()).unwrap())).collect();
    check_totals(&store);
    for (first, second) in handles {
        let _ = store.close(&ann, &first);
        let _ = store.close(&bob, &second);
        check_totals(&store);
    }
    store.close(&ann, &handle).unwrap();
    store.recount(&handle);
    assert_eq!(store.lock().totals, Totals::default());
    let store = self::store(20, 8, Duration::ZERO);
    store.hold(&ann, applied()).unwrap();
    std::thread::sleep(Duration::from_millis(2));
    store.sweep();
    assert_eq!(store.lock().totals, Totals::default());
}
