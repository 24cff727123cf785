//! Tests of the order in which entrants get slots, and of which entrants are refused.

#![allow(clippy::unwrap_used)]

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use portolan_connectors::Principal;

use super::*;

const SOON: Duration = Duration::from_secs(60);

fn queue(slots: usize, may_wait: usize) -> Arc<FairQueue> {
    Arc::new(FairQueue::new("queries", " (limits.concurrent_queries)", slots, 0, may_wait))
}

/// Returns an entrant whose principal has no limits of its own.
fn entrant(name: &str) -> Entrant {
    let (account, query) = (Principal::new(name).account(), "q".to_owned());
    Entrant { account, query, weight: 1, running: usize::MAX, waiting: usize::MAX, admin: false }
}

type Entering = Pin<Box<dyn Future<Output = Result<Slot>>>>;

/// Enters the queue. The entrant has joined when this function returns.
fn enter(queue: &Arc<FairQueue>, entrant: Entrant) -> Entering {
    let queue = queue.clone();
    let mut entering: Entering = Box::pin(async move { queue.enter(entrant, Instant::now() + SOON).await });
    match poll(&mut entering) {
        Poll::Ready(outcome) => Box::pin(std::future::ready(outcome)),
        Poll::Pending => entering,
    }
}

fn poll(entering: &mut Entering) -> Poll<Result<Slot>> {
    entering.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// Returns the slot of an entrant that has one.
fn slot(entering: &mut Entering) -> Option<Slot> {
    match poll(entering) {
        Poll::Ready(outcome) => Some(outcome.unwrap()),
        Poll::Pending => None,
    }
}

/// Gives one slot to one entrant after another, and returns the names in their order.
fn order(queue: &Arc<FairQueue>, mut held: Slot, mut line: Vec<(&'static str, Entering)>) -> Vec<&'static str> {
    let mut names = vec![];
    while !line.is_empty() {
        drop(held);
        let mut found = None;
        for (at, (name, entering)) in line.iter_mut().enumerate() {
            if let Some(slot) = slot(entering) {
                assert!(found.is_none(), "one slot is free");
                names.push(*name);
                found = Some((at, slot));
            }
        }
        let (at, slot) = found.unwrap();
        drop(line.remove(at));
        held = slot;
    }
    drop(held);
    assert!(lock(&queue.state).lines.is_empty());
    names
}

#[tokio::test]
async fn principals_take_turns_however_many_each_queues() {
    let queue = queue(1, 100);
    let held = enter(&queue, entrant("flood")).await.unwrap();
    let line = ["flood", "flood", "flood", "flood", "ann", "bob", "ann"];
    let line = line.map(|name| (name, enter(&queue, entrant(name))));
    assert_eq!(order(&queue, held, line.into()), ["ann", "bob", "flood", "ann", "flood", "flood", "flood"]);
}

#[tokio::test]
async fn a_weight_of_two_gets_twice_as_many_slots() {
    let queue = queue(1, 100);
    let held = enter(&queue, entrant("other")).await.unwrap();
    let line = ["ann", "ann", "ann", "bob", "bob", "bob", "bob", "bob", "bob"];
    let weighted = |name: &str| Entrant { weight: if name == "bob" { 2 } else { 1 }, ..entrant(name) };
    let line = line.map(|name| (name, enter(&queue, weighted(name))));
    let names = order(&queue, held, line.into());
    let of_ann = |names: &[&str]| names.iter().filter(|name| **name == "ann").count();
    assert_eq!([of_ann(&names[..3]), of_ann(&names[..6]), of_ann(&names)], [1, 2, 3], "{names:?}");
}

#[tokio::test]
async fn those_with_the_fewest_running_go_first_and_none_beyond_its_limit() {
    let queue = queue(3, 100);
    let flood = || Entrant { running: 2, ..entrant("flood") };
    let mut held = vec![enter(&queue, flood()).await.unwrap(), enter(&queue, flood()).await.unwrap()];
    let mut waits: Vec<_> = (0..3).map(|_| enter(&queue, flood())).collect();
    assert!(waits.iter_mut().all(|entering| slot(entering).is_none()), "a slot is free, and not for this line");
    let ann = enter(&queue, entrant("ann")).await.unwrap();
    let (mut second, mut third) = (enter(&queue, entrant("ann")), enter(&queue, entrant("bob")));
    held.pop();
    // The flood has one running and waited first, ann has one running, bob has none.
    assert!(slot(&mut second).is_none() && waits.iter_mut().all(|entering| slot(entering).is_none()));
    let bob = slot(&mut third).unwrap();
    drop((held, ann, bob));
    // One slot is for ann, and two are for the flood.
    let second = slot(&mut second).unwrap();
    let running: Vec<_> = waits.iter_mut().filter_map(slot).collect();
    assert_eq!(running.len(), 2);
    drop((second, running));
    slot(&mut waits[2]).unwrap();
}

#[tokio::test]
async fn a_full_queue_refuses_the_longest_line() {
    let queue = queue(1, 4);
    let _held = enter(&queue, entrant("other")).await.unwrap();
    let mut flood: Vec<_> = (0..4).map(|_| enter(&queue, entrant("flood"))).collect();
    let error = enter(&queue, entrant("flood")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
    assert!(error.context().contains("1 queries are running and 4 are waiting (limits.concurrent_queries)"), "{error}");
    assert!(error.retry_after().is_some_and(|time| (RETRY_AFTER.0..=RETRY_AFTER.1).contains(&time)));
    // Two of another principal replace the two newest, and then both have as many.
    let mut ann = [enter(&queue, entrant("ann")), enter(&queue, entrant("ann"))];
    assert!(ann.iter_mut().all(|entering| slot(entering).is_none()));
    for displaced in flood.drain(2..) {
        assert_eq!(displaced.await.unwrap_err().kind(), ErrorKind::ResourceExhausted);
    }
    assert!(flood.iter_mut().all(|entering| slot(entering).is_none()));
    assert!(enter(&queue, entrant("ann")).await.is_err() && enter(&queue, entrant("flood")).await.is_err());
    assert_eq!(lock(&queue.state).waiting, 4);
}

#[tokio::test]
async fn a_principal_may_have_a_shorter_queue() {
    let queue = queue(1, 4);
    let held = enter(&queue, entrant("other")).await.unwrap();
    let ann = || Entrant { waiting: 1, ..entrant("ann") };
    let mut first = enter(&queue, ann());
    let error = enter(&queue, ann()).await.unwrap_err();
    assert!(error.context().contains("`ann` has 0 queries running and 1 waiting (`shares`"), "{error}");
    assert!(error.retry_after().is_some());
    drop(held);
    slot(&mut first).unwrap();
}

#[tokio::test]
async fn those_who_leave_or_come_too_late_leave_nothing() {
    let queue = queue(1, 2);
    let held = enter(&queue, entrant("other")).await.unwrap();
    let late = queue.enter(entrant("ann"), Instant::now()).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::DeadlineExceeded);
    drop(enter(&queue, entrant("ann")));
    assert_eq!(lock(&queue.state).waiting, 0);
    // The first one is admitted and dropped before it has noticed. The next one gets its slot.
    let (first, mut second) = (enter(&queue, entrant("ann")), enter(&queue, entrant("ann")));
    drop(held);
    assert!(slot(&mut second).is_none());
    drop(first);
    drop(slot(&mut second).unwrap());
    let state = lock(&queue.state);
    assert!(state.running == 0 && state.waiting == 0 && state.lines.is_empty());
}

#[tokio::test]
async fn an_entrant_that_waits_because_of_pressure_is_refused_after_a_while() {
    let pressure = Pressure::new(Some(1000));
    let queue = FairQueue::new("queries", "", 4, 0, 4).under(pressure.clone());
    let queue = Arc::new(queue);
    let soon = Duration::from_millis(20);
    let enter = |name| queue.enter_within(soon, entrant(name), Instant::now() + SOON);
    pressure.observe(800);
    let held = enter("other").await.unwrap();
    let error = enter("ann").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
    assert!(error.context().contains("800 of the 1000 bytes"), "{error}");
    assert!(error.context().contains("(limits.host_memory), so that one query runs at a time: try again"), "{error}");
    assert!(error.retry_after().is_some());
    assert_eq!(lock(&queue.state).waiting, 0);
    // An entrant waits on if the pressure ends, although no slot is free.
    let relief = async {
        tokio::task::yield_now().await;
        pressure.observe(100);
        let others = futures::future::join_all(["a", "b", "c"].map(&enter)).await;
        tokio::time::sleep(2 * soon).await;
        drop((held, others));
    };
    let (waited, ()) = tokio::join!(enter("ann"), relief);
    waited.unwrap();
}

#[tokio::test]
async fn an_entrant_is_refused_if_the_pressure_begins_while_it_waits() {
    let pressure = Pressure::new(Some(1000));
    let queue = Arc::new(FairQueue::new("queries", "", 1, 0, 4).under(pressure.clone()));
    let _held = enter(&queue, entrant("other")).await.unwrap();
    let waiting = queue.enter_within(Duration::from_millis(20), entrant("ann"), Instant::now() + SOON);
    let begins = async {
        tokio::task::yield_now().await;
        pressure.observe(800);
    };
    let (outcome, ()) = tokio::join!(waiting, begins);
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::ResourceExhausted);
}

/// Returns a queue of fragments under high pressure.
fn under_pressure() -> Arc<FairQueue> {
    let pressure = Pressure::new(Some(1000));
    pressure.observe(800);
    Arc::new(FairQueue::new("fragments", "", 16, 0, 16).under(pressure))
}

#[tokio::test]
async fn under_pressure_an_entrant_whose_reader_pauses_keeps_nobody_out() {
    let queue = under_pressure();
    let ann = enter(&queue, entrant("ann")).await.unwrap();
    let [mut bob, mut other] = ["bob", "other"].map(|name| enter(&queue, entrant(name)));
    assert!(slot(&mut bob).is_none());
    let paused = ann.paused();
    let bob = slot(&mut bob).unwrap();
    assert!(slot(&mut other).is_none());
    drop(paused);
    drop(bob);
    assert!(slot(&mut other).is_none(), "the reader reads on");
    drop(ann);
    drop(slot(&mut other).unwrap());
    let state = lock(&queue.state);
    assert!(state.running == 0 && state.active == 0 && state.lines.is_empty());
}

#[tokio::test]
async fn under_pressure_the_fragments_of_one_query_run_together() {
    let queue = under_pressure();
    let of = |query: &str| Entrant { query: query.to_owned(), ..entrant("ann") };
    let first = enter(&queue, of("1")).await.unwrap();
    let [mut second, mut third, mut fourth] = ["2", "3", "2"].map(|query| enter(&queue, of(query)));
    let both = [first, enter(&queue, of("1")).await.unwrap()];
    assert!(slot(&mut second).is_none() && slot(&mut third).is_none() && slot(&mut fourth).is_none());
    drop(both);
    // The fourth one has the query of the second one, and does not wait for the third one.
    let both = [slot(&mut second).unwrap(), slot(&mut fourth).unwrap()];
    assert!(slot(&mut third).is_none());
    drop(both);
    drop(slot(&mut third).unwrap());
    let state = lock(&queue.state);
    assert!(state.running == 0 && state.active == 0 && state.waiting == 0 && state.lines.is_empty());
}

#[tokio::test]
async fn under_pressure_the_running_fragments_of_one_query_are_bounded() {
    let queue = under_pressure();
    let mut fragments = vec![];
    for _ in 0..8 {
        fragments.push(enter(&queue, entrant("ann")).await.unwrap());
    }
    let [mut ninth, mut tenth] = ["ann", "ann"].map(|name| enter(&queue, entrant(name)));
    assert!(slot(&mut ninth).is_none() && slot(&mut tenth).is_none());
    // The reader of a fragment may need the rows of another one first.
    let paused = fragments[0].paused();
    let ninth = slot(&mut ninth).unwrap();
    assert!(slot(&mut tenth).is_none());
    drop(paused);
    drop(ninth);
    assert!(slot(&mut tenth).is_none(), "the reader reads on");
    fragments.pop();
    drop((slot(&mut tenth).unwrap(), fragments));
    let state = lock(&queue.state);
    assert!(state.running == 0 && state.active == 0 && state.waiting == 0 && state.lines.is_empty());
}
