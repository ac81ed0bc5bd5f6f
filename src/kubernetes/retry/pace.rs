//! How many requests a follower makes: few, and never many at once.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// What a follower of one job may ask within any second.
pub const MOST_PER_SECOND: usize = 5;
/// Reads that may go at once after some quiet: a look at a Job and its pods is two.
const AT_ONCE: f64 = 2.0;
/// Reads a second beyond those. With [`AT_ONCE`] it stays below [`MOST_PER_SECOND`], so that a change finds room, too.
const PER_SECOND: f64 = 2.5;
/// Several jobs share a pace as if they were no more than so many.
const MOST_JOBS: u8 = 4;
/// How long nothing is slowed down: the first close look belongs to the start of a command.
const START: Duration = Duration::from_secs(3);

/// What paces the reads of one follower. Changes go at once, and the reads after them wait for it.
#[derive(Debug)]
pub struct Pace {
    /// Held by whoever is next, so that turns come in order.
    next: tokio::sync::Mutex<()>,
    bucket: Mutex<Bucket>,
    free_until: Instant,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled: Instant,
    jobs: f64,
}

impl Pace {
    /// Returns a pace for a follower of so many jobs.
    #[must_use]
    pub fn of_jobs(jobs: usize) -> Self {
        let now = Instant::now();
        Self { next: tokio::sync::Mutex::new(()), bucket: Mutex::new(Bucket::of_jobs(jobs, now)), free_until: now + START }
    }

    /// Waits until a read may go.
    pub(super) async fn turn(&self) {
        if Instant::now() < self.free_until {
            return;
        }
        let _next = self.next.lock().await;
        loop {
            let wait = self.with(Bucket::read);
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return,
            }
        }
    }

    /// Notes that a change goes.
    pub(super) fn change(&self) {
        self.with(Bucket::change);
    }

    fn with<T>(&self, take: impl FnOnce(&mut Bucket, Instant) -> T) -> T {
        take(&mut self.bucket.lock().unwrap_or_else(PoisonError::into_inner), Instant::now())
    }
}

impl Bucket {
    fn of_jobs(jobs: usize, now: Instant) -> Self {
        let jobs = f64::from(u8::try_from(jobs).unwrap_or(MOST_JOBS).clamp(1, MOST_JOBS));
        Self { tokens: AT_ONCE * jobs, filled: now, jobs }
    }

    fn fill(&mut self, now: Instant) {
        let since = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + PER_SECOND * self.jobs * since).min(AT_ONCE * self.jobs);
        self.filled = now;
    }

    /// Takes a token, or returns after what time to ask again.
    fn read(&mut self, now: Instant) -> Option<Duration> {
        self.fill(now);
        if self.tokens < 1.0 {
            let wait = (1.0 - self.tokens) / (PER_SECOND * self.jobs);
            return Some(Duration::from_secs_f64(wait).max(Duration::from_millis(1)));
        }
        self.tokens -= 1.0;
        None
    }

    /// Takes a token that may not be there yet.
    fn change(&mut self, now: Instant) {
        self.fill(now);
        self.tokens -= 1.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the most requests within any second, of a follower that always wants more.
    fn most(jobs: usize, change_every: u32) -> usize {
        let mut now = Instant::now();
        let (mut bucket, mut times) = (Bucket::of_jobs(jobs, now), Vec::new());
        for number in 1..100 {
            if number % change_every == 0 {
                bucket.change(now);
            } else {
                while let Some(wait) = bucket.read(now) {
                    now += wait;
                }
            }
            times.push(now);
        }
        let within = |from: &Instant| times.iter().filter(|time| *time >= from && **time < *from + Duration::from_secs(1)).count();
        times.iter().map(within).max().unwrap_or_default()
    }

    #[test]
    fn no_second_holds_more_than_a_follower_may_ask() {
        assert_eq!(most(1, 1000), 4);
        for change_every in 2..12 {
            let most = most(1, change_every);
            assert!(most <= MOST_PER_SECOND, "{most} with every {change_every}th a change");
        }
        assert!((15..=20).contains(&most(30, 1000)), "many jobs share a pace: {}", most(30, 1000));
    }

    #[tokio::test]
    async fn nothing_is_slow_at_the_start() {
        let pace = Pace::of_jobs(1);
        let began = Instant::now();
        for _ in 0..1000 {
            pace.turn().await;
        }
        assert!(began.elapsed() < START, "a thousand at 2.5 a second would take minutes");
    }
}
