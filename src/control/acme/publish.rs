//! The way from the task that looks after certificates to the gateway that shows them.

use tokio::sync::{mpsc, oneshot};

use super::failure::{Failure, Kind};
use super::proof::Proofs;

/// A wish to publish what the store has now, and these proofs.
pub struct Wish {
    /// What proves names from then on.
    pub proofs: Proofs,
    /// Where the result goes, once every worker follows.
    pub done: oneshot::Sender<Result<(), String>>,
}

/// The way to have things published.
pub(super) struct Publisher(mpsc::Sender<Wish>);

impl Publisher {
    pub(super) fn new(wishes: mpsc::Sender<Wish>) -> Self {
        Self(wishes)
    }

    /// Returns once every worker has it.
    pub(super) async fn publish(&self, proofs: Proofs) -> Result<(), Failure> {
        let stopping = || "the gateway is stopping".to_owned();
        let (done, result) = oneshot::channel();
        let published = match self.0.send(Wish { proofs, done }).await {
            Ok(()) => result.await.unwrap_or_else(|_| Err(stopping())),
            Err(_) => Err(stopping()),
        };
        published.map_err(|why| Failure::new(Kind::Certificate, format!("not published: {why}")))
    }
}
