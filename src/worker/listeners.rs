//! A worker's ends of the listeners: opened and closed as snapshots come.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

use crate::accept::{self, Event, Peer};
use crate::io::listener::{close_accepts, drain};
use crate::io::{self, Stream};
use crate::limits::{ACCEPTS_PENDING, DRAIN_ACCEPTS};
use crate::session::connection;
use crate::session::core::{Core, ListenerState};
use crate::snapshot::Listener;

use super::introduction;

struct Open {
    /// What new connections belong to.
    state: Rc<RefCell<Rc<ListenerState>>>,
    sockets: Arc<Vec<OwnedFd>>,
    fd: i32,
}

impl Open {
    fn serves(&self, listener: &Listener) -> bool {
        Arc::ptr_eq(&listener.sockets, &self.sockets)
    }
}

/// What a worker listens on.
pub(super) struct Listeners {
    worker: usize,
    nonblocking: bool,
    /// The generation that is followed whole.
    generation: u64,
    /// The generation whose troubles were told.
    told: u64,
    open: Vec<Open>,
    states: HashMap<u32, Rc<ListenerState>>,
    connections: Rc<Cell<usize>>,
}

impl Listeners {
    pub(super) fn new(worker: usize, nonblocking: bool) -> Self {
        Self {
            worker,
            nonblocking,
            generation: 0,
            told: 0,
            open: Vec::new(),
            states: HashMap::new(),
            connections: Rc::default(),
        }
    }

    /// Client connections open on this worker.
    pub(super) fn open(&self) -> usize {
        self.connections.get()
    }

    /// Opens, updates and closes listeners as the newest snapshot has them. What is accepted from
    /// is known by its sockets: a listener may be renamed, and two may swap their addresses.
    pub(super) fn follow(&mut self, core: &Rc<Core>) {
        let snapshot = core.snapshot();
        if snapshot.generation == self.generation {
            return;
        }
        let told = self.told == snapshot.generation;
        self.told = snapshot.generation;
        self.follow_states(&snapshot.listeners);
        let (connections, states) = (self.connections.clone(), &self.states);
        self.open.retain(|open| match snapshot.listeners.iter().find(|l| open.serves(l)) {
            Some(listener) => {
                open.state.replace(states[&listener.id].clone());
                true
            }
            None => {
                end(core, &connections, open);
                false
            }
        });
        let mut complete = true;
        for listener in &snapshot.listeners {
            if self.open.iter().any(|open| open.serves(listener)) {
                continue;
            }
            if let Err(error) = self.begin(core, listener) {
                complete = false;
                if !told {
                    tracing::error!(listener = %listener.name, %error, "can't listen yet");
                }
            }
        }
        // What could not be opened (no descriptors) is tried again at the next tick: the kernel
        // already gives this worker's socket its share of the connections.
        if complete {
            self.generation = snapshot.generation;
        }
    }

    /// A listener's connections follow its settings by its name, whatever its sockets.
    fn follow_states(&mut self, listeners: &[Arc<Listener>]) {
        self.states.retain(|id, state| {
            let kept = listeners.iter().any(|l| l.id == *id);
            state.removed.set(!kept);
            kept
        });
        for listener in listeners {
            match self.states.get(&listener.id) {
                Some(state) => state.update(listener.clone()),
                None => {
                    self.states.insert(listener.id, ListenerState::new(listener.clone()));
                }
            }
        }
    }

    fn begin(&mut self, core: &Rc<Core>, listener: &Arc<Listener>) -> std::io::Result<()> {
        let Some(socket) = listener.sockets.get(self.worker) else { return Ok(()) };
        let end = io::Listener::new(socket, self.nonblocking)?;
        let state = Rc::new(RefCell::new(self.states[&listener.id].clone()));
        let (sockets, fd) = (listener.sockets.clone(), end.fd());
        self.open.push(Open { state: state.clone(), sockets, fd });
        self.start(core, state, end);
        Ok(())
    }

    /// Stops accepting everywhere.
    pub(super) fn close(&mut self, core: &Rc<Core>) {
        for open in self.open.drain(..) {
            end(core, &self.connections, &open);
        }
    }

    fn start(&self, core: &Rc<Core>, state: Rc<RefCell<Rc<ListenerState>>>, end: io::Listener) {
        let core = core.clone();
        let connections = self.connections.clone();
        let last_said_ns = Cell::new(0);
        // On epoll one accept takes all that wait.
        let pending = if self.nonblocking { 1 } else { ACCEPTS_PENDING };
        accept::start(end, pending, move |event| match event {
            Event::Connection(stream, peer) => {
                let state = state.borrow().clone();
                admit(&core, &state, &connections, stream, peer);
            }
            Event::Paused => {
                core.stats.accept_pauses.up();
                let state = state.borrow().clone();
                core.stats.listener(state.id).refused_no_descriptors.up();
                let now = io::clock::now_ns();
                if now.saturating_sub(last_said_ns.get()) > 1_000_000_000 {
                    last_said_ns.set(now);
                    let listener = state.settings().name.clone();
                    tracing::warn!(%listener, "no descriptors left: accepting pauses");
                }
            }
        });
    }
}

/// Takes what waits in the listener's queue, then ends its accepting: closing would reset those.
fn end(core: &Rc<Core>, connections: &Rc<Cell<usize>>, open: &Open) {
    let state = open.state.borrow().clone();
    for (stream, peer) in drain(open.fd, DRAIN_ACCEPTS) {
        admit(core, &state, connections, stream, peer);
    }
    close_accepts(open.fd);
}

fn admit(
    core: &Rc<Core>,
    state: &Rc<ListenerState>,
    connections: &Rc<Cell<usize>>,
    stream: Stream,
    transport: SocketAddr,
) {
    let stats = core.stats.listener(state.id);
    let introduced = introduction::is_needed(state);
    if introduced && !introduction::is_allowed(core, state, transport) {
        return;
    }
    let Ok(mut admitted) = core.shared.admission.admit(core.snapshot().max_connections) else {
        return stats.refused_max_connections.up();
    };
    if !introduced && !introduction::seat(core, state, &mut admitted, transport) {
        return;
    }
    stats.open.up();
    core.stats.connections.up();
    connections.set(connections.get() + 1);
    let (core, state, connections) = (core.clone(), state.clone(), connections.clone());
    io::spawn(async move {
        let peer = if introduced {
            Box::pin(introduction::wait(&core, &state, &stream, transport, &mut admitted)).await
        } else {
            Some(Peer::from(transport))
        };
        match peer {
            Some(peer) => connection::serve(core.clone(), state.clone(), stream, peer).await,
            None => drop(stream),
        }
        core.stats.listener(state.id).open.down();
        core.stats.connections.down();
        connections.set(connections.get() - 1);
        drop(admitted);
    });
}
