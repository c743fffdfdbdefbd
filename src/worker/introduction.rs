//! Whose connection it is: that of its peer, or, where proxies open them for their clients, of whom
//! the PROXY header names. Nothing is served before.

use std::net::SocketAddr;
use std::rc::Rc;

use crate::accept::proxy_protocol::receive::{Refused, receive};
use crate::accept::{Admitted, Peer};
use crate::config::AcceptProxyProtocol;
use crate::io::{Stream, clock};
use crate::policy::client::is_trusted;
use crate::session::core::{Core, ListenerState};

/// Whether connections of this listener begin with a header.
pub(super) fn is_needed(state: &ListenerState) -> bool {
    state.settings().proxy_protocol != AcceptProxyProtocol::Off
}

/// Whether this peer may send one; else that is told.
pub(super) fn is_allowed(core: &Core, state: &ListenerState, transport: SocketAddr) -> bool {
    let allowed = is_trusted(transport.ip().to_canonical(), &state.settings().trusted_proxies);
    if !allowed {
        refuse(core, state, transport, Refused::Untrusted);
    }
    allowed
}

/// Waits for the header, then counts the connection for the client that it names. `None`: the
/// connection is to be closed; that was counted.
pub(super) async fn wait(
    core: &Rc<Core>,
    state: &Rc<ListenerState>,
    stream: &Stream,
    transport: SocketAddr,
    admitted: &mut Admitted,
) -> Option<Peer> {
    let settings = state.settings();
    let guard = core.watch.guard(stream.fd());
    let until_ns = clock::now_ns().saturating_add(settings.header_ns);
    match receive(stream, &guard, settings.proxy_protocol, until_ns, transport).await {
        Ok(peer) => seat(core, state, admitted, peer.address).then_some(peer),
        Err(why) => {
            refuse(core, state, transport, why);
            None
        }
    }
}

/// Counts a connection for its client. False: there are too many.
pub(super) fn seat(
    core: &Core,
    state: &ListenerState,
    admitted: &mut Admitted,
    client: SocketAddr,
) -> bool {
    let stats = core.stats.listener(state.id);
    let snapshot = core.snapshot();
    let client = client.ip().to_canonical();
    if let Some(max) = snapshot.max_connections_per_client
        && admitted.seat(client, max, snapshot.ipv6_prefix).is_err()
    {
        stats.refused_per_client.up();
        return false;
    }
    stats.accepted.up();
    true
}

/// Counts a connection that is closed without an answer. Who sends no good header is told at debug
/// level only: anybody who reaches the port chooses how often that is.
fn refuse(core: &Core, state: &ListenerState, transport: SocketAddr, why: Refused) {
    if why != Refused::NeverSpoke {
        core.stats.listener(state.id).refused_proxy_protocol.up();
    }
    let (listener, reason) = (state.settings().name.clone(), why.reason());
    tracing::debug!(%listener, peer = %transport, reason, "connection refused");
}
