//! Where the admin listener is: started with the gateway, moved by a reload.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{AdminState, serve};
use crate::config::Admin;
use crate::limits::ADMIN_STOP_TIMEOUT;

/// The admin listener, be it switched on or off.
pub struct Server {
    state: Arc<AdminState>,
    /// The address as written (port 0 keeps the port it was given).
    place: Option<SocketAddr>,
    serving: Option<Serving>,
}

struct Serving {
    end: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// A change that is ready to be made. Dropped, nothing has changed.
pub struct Change {
    place: Option<SocketAddr>,
    /// Bound; `None` where it stays, or is switched off.
    listener: Option<TcpListener>,
}

impl Change {
    /// The address that is new; a port that was left open is known by now.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listener.as_ref()?.local_addr().ok()
    }
}

impl Server {
    /// Not serving yet.
    pub fn new(state: Arc<AdminState>) -> Self {
        Self { state, place: None, serving: None }
    }

    /// Binds what `wanted` asks for, where that is new.
    ///
    /// # Errors
    /// The address can't be had; nothing has changed.
    pub async fn prepare(&self, wanted: Option<&Admin>) -> Result<Change, String> {
        let place = wanted.map(|admin| admin.listen);
        let listener = match place.filter(|_| place != self.place) {
            Some(new) => {
                let refused = |e| format!("admin can't listen on {new}: {e}");
                Some(TcpListener::bind(new).await.map_err(refused)?)
            }
            None => None,
        };
        Ok(Change { place, listener })
    }

    /// Serves at the new place. What was asked at the old one is answered still.
    pub fn apply(&mut self, change: Change) {
        if change.place == self.place {
            return;
        }
        self.place = change.place;
        let state = self.state.clone();
        let new = change.listener.map(|listener| Serving::start(listener, state));
        if let Some(old) = std::mem::replace(&mut self.serving, new) {
            tokio::spawn(old.stop(ADMIN_STOP_TIMEOUT));
        }
    }

    /// Answers what was asked, for at most `within`, and ends.
    pub async fn stop(self, within: Duration) {
        if let Some(serving) = self.serving {
            serving.stop(within).await;
        }
    }
}

impl Serving {
    fn start(listener: TcpListener, state: Arc<AdminState>) -> Self {
        let (end, ended) = oneshot::channel();
        let task = tokio::spawn(async move {
            let until = async {
                let _ = ended.await;
            };
            if let Err(error) = serve(listener, state, until).await {
                tracing::error!(%error, "the admin listener ended");
            }
        });
        Self { end, task }
    }

    async fn stop(mut self, within: Duration) {
        let _ = self.end.send(());
        if timeout(within, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}
