//! The lane: a connection's events, one after the other.

use super::dispatch::{Job, begin};
use futures_util::{FutureExt, future::BoxFuture};
use std::{
    collections::VecDeque,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

/// Most events that wait in a lane, and most bytes: beyond it an event is refused with `RATE_LIMITED`.
const LANE_EVENTS: usize = 4_096;
const LANE_BYTES: usize = 4 << 20;

/// A connection's queue of events. Nothing runs while it is empty.
#[derive(Clone, Default)]
pub struct Lane(Arc<LaneState>);

#[derive(Default)]
struct LaneState {
    queue: Mutex<Queue>,
    /// Somebody in flight was answered.
    answered: Notify,
}

#[derive(Default)]
struct Queue {
    own: VecDeque<BoxFuture<'static, ()>>,
    jobs: VecDeque<Job>,
    bytes: usize,
    in_flight: usize,
    open: bool,
    running: bool,
    /// Nothing is answered any more, whatever comes.
    shut: bool,
}

/// An event that will be answered by somebody else.
pub(super) struct InFlight(Lane);

enum Next {
    Own(BoxFuture<'static, ()>),
    Job(Job),
}

impl Lane {
    /// Puts something of our own before everything that waits: who the client is must be known first.
    pub fn begin_with(&self, own: impl Future<Output = ()> + Send + 'static) {
        let mut queue = self.lock();
        queue.own.push_back(own.boxed());
        self.run(&mut queue);
    }

    /// Lets events be answered from now on.
    pub fn open(&self) {
        let mut queue = self.lock();
        queue.open = true;
        self.run(&mut queue);
    }

    /// Drops what waits, and whatever comes: a client that floods its lane is not answered to the end.
    pub(super) fn shut(&self) {
        let mut queue = self.lock();
        queue.shut = true;
        queue.bytes = 0;
        queue.jobs = VecDeque::new();
    }

    pub(super) fn push(&self, job: Job) -> Result<(), Box<Job>> {
        let mut queue = self.lock();
        if queue.shut {
            return Ok(());
        }
        if queue.jobs.len() >= LANE_EVENTS || queue.bytes + job.size() > LANE_BYTES {
            return Err(Box::new(job));
        }
        queue.bytes += job.size();
        queue.jobs.push_back(job);
        self.run(&mut queue);
        Ok(())
    }

    fn run(&self, queue: &mut Queue) {
        if queue.open && !queue.running {
            queue.running = true;
            tokio::spawn(drain(self.clone()));
        }
    }

    /// What comes next. When there is nothing the lane stops running.
    fn next(&self) -> Option<Next> {
        let mut queue = self.lock();
        if let Some(own) = queue.own.pop_front() {
            return Some(Next::Own(own));
        }
        if let Some(job) = queue.jobs.pop_front() {
            queue.bytes -= job.size();
            return Some(Next::Job(job));
        }
        queue.running = false;
        // Most connections are silent most of the time: they keep no room for a queue.
        queue.jobs = VecDeque::new();
        queue.own = VecDeque::new();
        None
    }

    /// How many events wait, and how many bytes they have.
    pub fn waiting(&self) -> (usize, usize) {
        let queue = self.lock();
        (queue.jobs.len(), queue.bytes)
    }

    /// Waits until fewer than so many are in flight.
    pub(super) async fn until_fewer_than(&self, limit: usize) {
        while self.lock().in_flight >= limit {
            self.0.answered.notified().await;
        }
    }

    pub(super) fn send_ahead(&self) -> InFlight {
        self.lock().in_flight += 1;
        InFlight(self.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.lock().in_flight -= 1;
        self.0.0.answered.notify_one();
    }
}

async fn drain(lane: Lane) {
    while let Some(next) = lane.next() {
        match next {
            Next::Own(own) => {
                lane.until_fewer_than(1).await;
                // If it panics, that is logged, and the lane goes on.
                let _ = AssertUnwindSafe(own).catch_unwind().await;
            }
            Next::Job(job) => begin(job).await,
        }
    }
}
