//! Tests of the cache of plans.

#![allow(clippy::unwrap_used)]

use super::*;

fn statement(text: &str) -> PlanKey {
    let user = "ann".to_owned();
    PlanKey::Statement { text: text.to_owned(), user, catalog: None, schema: None, hidden: Arc::default() }
}

fn planned(of: u64, value: ScalarValue) -> PlanKey {
    let values = vec![(value.data_type(), value)];
    PlanKey::Planned { of, values, caller: Caller::new("ann"), settings: String::new() }
}

fn held(cache: &PlanCache) -> (usize, usize) {
    let kept = lock(&cache.kept);
    (kept.len(), kept.current.bytes + kept.previous.bytes)
}

#[test]
fn each_part_of_a_key_counts() {
    let cache = PlanCache::default();
    let zoned = |zone: &str| ScalarValue::TimestampSecond(Some(1), Some(zone.into()));
    let hidden: Arc<BTreeSet<PortRef>> = Arc::new([PortRef::new("hr", "p", "people")].into());
    let bytes = |plan: &'static [u8]| Bytes::from_static(plan);
    let keys = [
        statement("SELECT 1"),
        statement("SELECT 2"),
        PlanKey::Statement {
            text: "SELECT 1".to_owned(),
            user: "bob".to_owned(),
            catalog: None,
            schema: None,
            hidden: Arc::default(),
        },
        PlanKey::Statement {
            text: "SELECT 1".to_owned(),
            user: "ann".to_owned(),
            catalog: Some("hr".to_owned()),
            schema: None,
            hidden: Arc::default(),
        },
        PlanKey::Statement {
            text: "SELECT 1".to_owned(),
            user: "ann".to_owned(),
            catalog: None,
            schema: Some("hr".to_owned()),
            hidden: Arc::default(),
        },
        PlanKey::Statement {
            text: "SELECT 1".to_owned(),
            user: "ann".to_owned(),
            catalog: None,
            schema: None,
            hidden: hidden.clone(),
        },
        PlanKey::Fragment { plan: bytes(b"a"), hidden: Arc::default() },
        PlanKey::Fragment { plan: bytes(b"b"), hidden: Arc::default() },
        PlanKey::Fragment { plan: bytes(b"a"), hidden },
        planned(0, ScalarValue::from(1_i64)),
        planned(1, ScalarValue::from(1_i64)),
        planned(0, ScalarValue::from(1_i32)),
        planned(0, ScalarValue::from(2_i64)),
        planned(0, ScalarValue::from(0.0)),
        planned(0, ScalarValue::from(-0.0)),
        planned(0, zoned("UTC")),
        planned(0, zoned("+01:00")),
    ];
    for (number, key) in keys.iter().enumerate() {
        assert!(cache.find::<usize>(0, key).is_none(), "{number}");
        assert!(cache.keep(0, key.clone(), Arc::new(number), 1));
    }
    for (number, key) in keys.iter().enumerate() {
        assert_eq!(cache.find::<usize>(0, key).as_deref(), Some(&number));
        assert!(cache.find::<String>(0, key).is_none(), "a plan of another kind");
    }
    let of = |caller: Caller, settings: &str| {
        let settings = settings.to_owned();
        PlanKey::Planned { of: 0, values: vec![], caller, settings }
    };
    let ann = || Caller::new("ann");
    assert!(cache.keep(0, of(ann(), "placement: true"), Arc::new(100_usize), 1));
    assert!(cache.find::<usize>(0, &of(ann(), "placement: true")).is_some());
    for (caller, settings) in [
        (Caller::new("bob"), "placement: true"),
        (ann().with_groups(["staff"]), "placement: true"),
        (ann().with_attribute("region", ["eu"]), "placement: true"),
        (ann().with_purpose("audit"), "placement: true"),
        (ann().with_via(["gateway"]), "placement: true"),
        (ann(), "placement: false"),
    ] {
        assert!(cache.find::<usize>(0, &of(caller, settings)).is_none());
    }
}

#[test]
fn a_new_version_of_the_mesh_ends_all_plans() {
    let cache = PlanCache::default();
    assert!(cache.keep(3, statement("a"), Arc::new(1_usize), 1));
    assert!(cache.find::<usize>(2, &statement("a")).is_none() && !cache.keep(2, statement("b"), Arc::new(2_usize), 1));
    assert!(cache.find::<usize>(3, &statement("a")).is_some());
    assert!(cache.find::<usize>(4, &statement("a")).is_none());
    assert!(cache.find::<usize>(3, &statement("a")).is_none(), "it does not come back");
    assert!(cache.keep(4, statement("a"), Arc::new(1_usize), 1));
    cache.forget_before(5);
    assert_eq!(held(&cache), (0, 0));
}

#[test]
fn the_number_and_the_bytes_are_bounded_and_used_plans_stay() {
    let cache = PlanCache::with_bounds(8, usize::MAX);
    for n in 0..100 {
        assert!(cache.keep(0, statement(&n.to_string()), Arc::new(n), 10));
        assert!(cache.find::<i32>(0, &statement("0")).is_some(), "{n}");
        assert!(held(&cache).0 <= 8);
    }
    assert!(cache.find::<i32>(0, &statement("50")).is_none());
    let size = 1_000 + statement("0").bytes();
    let cache = PlanCache::with_bounds(usize::MAX, size * 4);
    for n in 0..10 {
        assert!(cache.keep(0, statement(&n.to_string()), Arc::new(n), 1_000));
        assert!(held(&cache).1 <= size * 4);
    }
    assert!(cache.find::<i32>(0, &statement("9")).is_some() && cache.find::<i32>(0, &statement("0")).is_none());
    assert!(!cache.keep(0, statement("large"), Arc::new(0), size * 4));
    assert!(!PlanCache::default().keep(0, statement("large"), Arc::new(0), MOST_ENTRY_BYTES));
    // The bytes of a plan that is replaced count once.
    let cache = PlanCache::default();
    for _ in 0..3 {
        cache.keep(0, statement("0"), Arc::new(0), 1_000);
    }
    assert_eq!(held(&cache), (1, size));
}

#[test]
fn the_cache_is_consistent_while_threads_use_it() {
    let cache = PlanCache::with_bounds(16, usize::MAX);
    std::thread::scope(|scope| {
        for thread in 0..4_usize {
            let cache = &cache;
            scope.spawn(move || {
                for round in 0..1_000_usize {
                    let (number, version) = ((thread + round) % 32, (round / 250) as u64);
                    let key = statement(&number.to_string());
                    if let Some(found) = cache.find::<(u64, usize)>(version, &key) {
                        assert_eq!(*found, (version, number));
                    }
                    cache.keep(version, key, Arc::new((version, number)), 10);
                    cache.count(round.is_multiple_of(2));
                }
            });
        }
    });
    let (entries, bytes) = held(&cache);
    let all = lock(&cache.kept);
    let counted: usize = all.current.entries.values().chain(all.previous.entries.values()).map(|e| e.bytes).sum();
    drop(all);
    assert!(entries <= 16 && bytes == counted, "{entries} {bytes} {counted}");
    let totals = cache.totals();
    assert_eq!((totals.hits, totals.misses), (2_000, 2_000));
}
