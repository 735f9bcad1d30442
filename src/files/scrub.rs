//! Finds damage that nobody has read yet, and heals it: reads all blobs from the disk, at a bounded
//! rate, again and again, and fetches what is damaged or lost from another copy.
//!
//! Supervised by [`crate::actor::keep`], which starts it again when it fails; the reading task is
//! aborted with the actor.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::task::AbortHandle;

use super::disk::Checked;
use super::store::Source;
use super::{BlobError, metrics};
use crate::actor::Kept;
use crate::config::FileOptions;
use crate::id::BlobHash;

/// Longest wait from the start to the first reading: nodes that are started often are to get to it.
const FIRST: Duration = Duration::from_secs(60);
/// How often it is tried to get a lost blob back.
const HEAL: Duration = Duration::from_secs(5);
/// How long fetching one may take.
const FETCH: Duration = Duration::from_secs(60);
/// Hashes taken from the index at once.
const PAGE: usize = 256;
/// Blobs that the disk may fail to give and to take in one reading: with more it is no use to fetch
/// them from others again and again.
const DISK_FAILURES: usize = 8;

/// Handle of the scrubbing actor. Cheap to clone.
#[derive(Clone)]
pub struct Scrub(Kept);

impl Scrub {
    /// Starts it.
    pub async fn start(source: Arc<dyn Source>, options: &FileOptions) -> Result<Self, BlobError> {
        let (rate, period) = (options.scrub_rate, options.scrub_period);
        let make = move || Scrubber { source: source.clone(), rate, period };
        match crate::actor::keep(make).await {
            Ok(kept) => Ok(Self(kept)),
            Err(e) => Err(BlobError::Io(format!("the scrubbing actor did not start: {e}"))),
        }
    }

    /// Stops it, soon.
    pub fn stop(&self) {
        self.0.stop();
    }
}

#[derive(Clone)]
struct Scrubber {
    source: Arc<dyn Source>,
    rate: u64,
    period: Duration,
}

/// The reading task ended, which it never should.
struct Ended(String);

/// Ends the reading task when the actor ends, however that happens.
struct Reading(AbortHandle);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Actor for Scrubber {
    type Msg = Ended;
    type State = Reading;
    type Arguments = ();

    async fn pre_start(
        &self,
        myself: ActorRef<Ended>,
        (): (),
    ) -> Result<Reading, ActorProcessingErr> {
        let scrubber = self.clone();
        let task = tokio::spawn(async move { scrubber.run().await });
        let reading = Reading(task.abort_handle());
        tokio::spawn(async move {
            if let Err(error) = task.await {
                let _ = myself.send_message(Ended(error.to_string()));
            }
        });
        Ok(reading)
    }

    async fn handle(
        &self,
        _: ActorRef<Ended>,
        Ended(why): Ended,
        _: &mut Reading,
    ) -> Result<(), ActorProcessingErr> {
        Err(why.into())
    }
}

impl Scrubber {
    async fn run(&self) {
        let mut next = Instant::now() + self.period.min(FIRST);
        loop {
            self.heal_lost().await;
            let now = Instant::now();
            if now < next {
                tokio::time::sleep(HEAL.min(next - now)).await;
                continue;
            }
            next = now + self.period;
            let (blobs, bytes, bad) = self.read_all().await;
            ::metrics::counter!(metrics::SCRUBS).increment(1);
            if blobs > 0 {
                let seconds = now.elapsed().as_secs();
                tracing::info!(blobs, bytes, bad, seconds, "all blobs here were read and checked");
            }
        }
    }

    /// Reads all blobs once. Gives how many, their bytes, and how many of them were no use.
    async fn read_all(&self) -> (u64, u64, u64) {
        let local = self.source.local();
        let (mut blobs, mut bytes, mut bad, mut failures) = (0, 0, 0, 0);
        let (mut page, mut healed) = (local.after(None, PAGE), Instant::now());
        while let Some(last) = page.last().copied() {
            for hash in page {
                if healed.elapsed() > HEAL {
                    self.heal_lost().await;
                    healed = Instant::now();
                }
                let checked = local.check(&hash, self.rate).await;
                match checked {
                    Ok(None) => continue,
                    Ok(Some(Checked { whole, bytes: read })) => {
                        bytes += read;
                        ::metrics::counter!(metrics::SCRUBBED_BYTES).increment(read);
                        if !whole {
                            bad += 1;
                            self.replace(hash).await;
                        }
                    }
                    Err(error) => {
                        bad += 1;
                        tracing::warn!(blob = %hash, %error, "a blob could not be read to check it");
                        if failures < DISK_FAILURES && !self.heal(hash).await {
                            failures += 1;
                        }
                    }
                }
                blobs += 1;
            }
            page = local.after(Some(&last), PAGE);
        }
        (blobs, bytes, bad)
    }

    /// Looks again at a file that was not the blob: a write may have replaced it. Else it is
    /// removed, and the blob fetched.
    async fn replace(&self, hash: BlobHash) {
        match self.source.local().read(&hash).await {
            Ok(Some(_)) => {}
            Ok(None) if self.source.local().is_lost(&hash) => drop(self.heal(hash).await),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(blob = %hash, %error, "a damaged blob could not be removed")
            }
        }
    }

    async fn heal_lost(&self) {
        for hash in self.source.local().all_lost() {
            self.heal(hash).await;
        }
    }

    /// Fetches a blob from another copy, and keeps it. False when that failed.
    async fn heal(&self, hash: BlobHash) -> bool {
        match self.source.heal(hash, Instant::now() + FETCH).await {
            Ok(true) => {
                ::metrics::counter!(metrics::HEALED).increment(1);
                tracing::info!(blob = %hash, "a damaged or lost blob was replaced");
                true
            }
            Ok(false) => true,
            Err(error) => {
                tracing::debug!(blob = %hash, %error, "a damaged or lost blob is not replaced yet");
                false
            }
        }
    }
}
