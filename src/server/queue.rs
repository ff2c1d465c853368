//! The queue before the judge: requests are read as they come and judged in that order, a few at a time.
//!
//! Without it they would wait where nobody sees them, in the kernel and among the runtime's tasks: how many there are, and for how long they have
//! been waiting, would only be known when it is too late to refuse.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::Poll;

use tokio::sync::{Semaphore, SemaphorePermit, TryAcquireError};
use tokio::time::{Duration, Instant, timeout_at};

/// What the newest judgement counts for in the mean: one in so many.
const WEIGHT: u64 = 16;

/// Requests that wait for their judgement.
#[derive(Debug)]
pub(super) struct Queue {
    places: Semaphore,
    /// Judgements at once.
    width: usize,
    /// Requests that wait for a place.
    waiting: AtomicUsize,
    /// How long a judgement takes at present, in nanoseconds.
    mean: AtomicU64,
}

impl Queue {
    pub(super) fn new(width: usize) -> Self {
        let width = width.clamp(1, Semaphore::MAX_PERMITS);
        Self { places: Semaphore::new(width), width, waiting: AtomicUsize::new(0), mean: AtomicU64::new(0) }
    }

    /// Waits until it is this request's turn. `None` as soon as it is plain that this will be after the deadline.
    pub(super) async fn turn(&self, deadline: Option<Instant>) -> Option<Turn<'_>> {
        let place = match self.places.try_acquire() {
            Ok(place) => place,
            Err(TryAcquireError::Closed) => return None,
            Err(TryAcquireError::NoPermits) => self.wait(deadline).await?,
        };
        end_of_the_tasks().await;
        let begun = Instant::now();
        (deadline.is_none_or(|deadline| begun < deadline)).then_some(Turn { queue: self, begun, _place: place })
    }

    async fn wait(&self, deadline: Option<Instant>) -> Option<SemaphorePermit<'_>> {
        let waiting = Waiting::count(&self.waiting);
        let Some(deadline) = deadline else { return self.places.acquire().await.ok() };
        let mean = Duration::from_nanos(self.mean.load(Ordering::Relaxed));
        let before = u32::try_from(waiting.before / self.width).unwrap_or(u32::MAX);
        if Instant::now() + mean.saturating_mul(before) >= deadline {
            return None;
        }
        timeout_at(deadline, self.places.acquire()).await.ok()?.ok()
    }
}

/// A request's turn at the judge.
pub(super) struct Turn<'q> {
    queue: &'q Queue,
    begun: Instant,
    _place: SemaphorePermit<'q>,
}

impl Turn<'_> {
    /// The judgement is there.
    pub(super) fn done(self) {
        let took = u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let mean = self.queue.mean.load(Ordering::Relaxed);
        // Two threads may write over each other: it is an estimate.
        self.queue.mean.store(mean - mean / WEIGHT + took / WEIGHT, Ordering::Relaxed);
    }
}

/// One more that waits, until dropped.
struct Waiting<'q> {
    all: &'q AtomicUsize,
    before: usize,
}

impl<'q> Waiting<'q> {
    fn count(all: &'q AtomicUsize) -> Self {
        Self { all, before: all.fetch_add(1, Ordering::Relaxed) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.all.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Lets everything go first that is ready to run: what has come is read, counted, and refused if need be, before the next judgement.
///
/// Unlike `tokio::task::yield_now`, this does not wait for the runtime's look at the sockets, which is a system call.
async fn end_of_the_tasks() {
    let mut yielded = false;
    poll_fn(|context| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waits_in_order_and_refuses_at_once_what_would_be_late() {
        let queue = Queue::new(2);
        let soon = Some(Instant::now() + Duration::from_secs(5));
        let (first, _second) = (queue.turn(soon).await.unwrap(), queue.turn(soon).await.unwrap());
        let mut third = Box::pin(queue.turn(soon));
        assert!(futures::poll!(third.as_mut()).is_pending());
        assert_eq!(queue.waiting.load(Ordering::Relaxed), 1);

        // One is waiting for two places of which each takes a minute: no place becomes free in time for a fourth.
        queue.mean.store(60_000_000_000, Ordering::Relaxed);
        let mut fourth = Box::pin(queue.turn(soon));
        assert!(futures::poll!(fourth.as_mut()).is_pending(), "the place after the next may be free at once");
        assert!(queue.turn(soon).await.is_none(), "two are before it");
        assert!(queue.turn(Some(Instant::now())).await.is_none());
        drop(fourth);
        assert_eq!(queue.waiting.load(Ordering::Relaxed), 1);

        first.done();
        third.await.unwrap().done();
        assert_eq!(queue.waiting.load(Ordering::Relaxed), 0);
        assert!(queue.mean.load(Ordering::Relaxed) < 60_000_000_000);
    }

    #[tokio::test]
    async fn without_a_deadline_it_waits() {
        let queue = Queue::new(1);
        let first = queue.turn(None).await.unwrap();
        let mut second = Box::pin(queue.turn(None));
        assert!(futures::poll!(second.as_mut()).is_pending());
        drop(first);
        assert!(second.await.is_some());
        assert!(queue.turn(Some(Instant::now())).await.is_none(), "late at its turn");
    }
}
