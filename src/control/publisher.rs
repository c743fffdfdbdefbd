//! The hand-over to the workers: puts a snapshot in force, and waits until all have taken it up.
//!
//! Configuration and directory come from different hands at different times; whoever brings one
//! leaves the other as it is.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::io::Waker;
use crate::limits::RELOAD_DEADLINE_MS;
use crate::policy::auth::Directory;
use crate::policy::auth::jwt::Verifiers;
use crate::snapshot::Snapshot;
use crate::stats::{WorkerState, WorkerStats};

/// Who puts snapshots in force.
pub struct Publisher {
    current: Arc<ArcSwap<Snapshot>>,
    workers: Vec<Arc<WorkerStats>>,
    /// One that has nothing to do would look only some time later.
    wakers: Vec<Waker>,
    /// One after the other: each is made of the one before.
    turn: Mutex<()>,
}

/// What was put in force.
pub struct Published {
    /// Its generation.
    pub generation: u64,
    /// What was in force before. It may hold a hundred thousand routes; it is freed by whoever lets go
    /// of it last, which waiting for the workers makes control.
    pub before: Arc<Snapshot>,
    /// Whether every worker has taken it up, so that no request begins under what was before.
    pub everywhere: bool,
}

impl Publisher {
    /// For these workers, each of which can be woken.
    pub fn new(
        current: Arc<ArcSwap<Snapshot>>,
        workers: Vec<Arc<WorkerStats>>,
        wakers: Vec<Waker>,
    ) -> Self {
        Self { current, workers, wakers, turn: Mutex::default() }
    }

    /// Puts a compiled configuration in force, with another directory where one is given.
    pub async fn configuration(
        &self,
        snapshot: Snapshot,
        directory: Option<Arc<Directory>>,
    ) -> Published {
        self.put(|before| {
            let directory = directory.unwrap_or_else(|| before.directory.clone());
            Snapshot { directory, ..snapshot }
        })
        .await
    }

    /// Puts a directory in force, and leaves all else as it is.
    pub async fn directory(&self, directory: Arc<Directory>) -> Published {
        self.put(|before| Snapshot { directory, ..before.clone() }).await
    }

    /// Puts other keys of tokens in force, and leaves all else as it is.
    pub async fn verifiers(&self, verifiers: Arc<Verifiers>) -> Published {
        self.put(|before| Snapshot { verifiers, ..before.clone() }).await
    }

    /// Waits until every worker has taken up what is in force; `false`: not in the time there is.
    pub async fn is_everywhere(&self) -> bool {
        let generation = self.current.load().generation;
        self.until_all_follow(generation).await
    }

    async fn put(&self, make: impl FnOnce(&Snapshot) -> Snapshot) -> Published {
        let (generation, before) = self.swap(make);
        let everywhere = self.until_all_follow(generation).await;
        if !everywhere {
            tracing::warn!(generation, "not every worker has taken up what was published");
        }
        Published { generation, before, everywhere }
    }

    fn swap(&self, make: impl FnOnce(&Snapshot) -> Snapshot) -> (u64, Arc<Snapshot>) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.current.load_full();
        let generation = before.generation + 1;
        self.current.store(Arc::new(Snapshot { generation, ..make(&before) }));
        self.wakers.iter().for_each(Waker::wake);
        (generation, before)
    }

    async fn until_all_follow(&self, generation: u64) -> bool {
        for _ in 0..RELOAD_DEADLINE_MS {
            // One that has ended, as they do one by one while the gateway drains, serves nobody.
            let follows = |worker: &Arc<WorkerStats>| {
                worker.generation.value() >= generation || worker.state() == WorkerState::Stopped
            };
            if self.workers.iter().all(follows) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        false
    }
}
