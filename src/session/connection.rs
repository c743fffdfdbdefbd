//! The keep-alive loop of one client connection.
//!
//! A connection has two shapes. Awake it has buffers and the request's state, in a boxed future;
//! after about a second of silence it gives both back and waits for bytes with nothing but itself
//! (`limits::AWAKE_NS`), so that idle connections cost next to nothing.

use std::cell::Cell;
use std::rc::Rc;

use crate::accept::Peer;
use crate::io::{Buffer, Stream, clock};

use crate::policy::transform::AddressText;

use super::client::{After, Connection};
use super::core::{Core, ListenerState};
use super::h2;
use super::request;

/// Serves a connection until it ends.
pub async fn serve(core: Rc<Core>, listener: Rc<ListenerState>, stream: Stream, peer: Peer) {
    let guard = core.watch.guard(stream.fd());
    let mut connection = Connection {
        guard,
        stream,
        core,
        listener,
        peer_text: AddressText::of(peer.address.ip()),
        peer: peer.address,
        introduction: peer.introduction,
        introduced: Cell::default(),
        server_name: None,
        identity: None,
        requests: Cell::new(0),
        silent_since_ns: clock::coarse_ns(),
        client_closes: false,
        reads_large: false,
    };
    let Some(early) = connection.pass_on().await else { return };
    if !connection.begin(early).await {
        return;
    }
    if connection.begins_in_http2() {
        // Its requests come in any order: none is served early.
        if connection.is_early() && !Box::pin(connection.end_handshake()).await {
            return;
        }
        return Box::pin(h2::serve(connection, Buffer::empty())).await;
    }
    loop {
        let after = Box::pin(awake(&mut connection)).await;
        match after {
            After::Sleep => {
                if !connection.sleep().await {
                    connection.stream.say_end();
                    break;
                }
            }
            // Closing while bytes are unread would be a reset, and destroy the last answer.
            // (With TLS a client that says no more requests come says so once more, by an alert.)
            After::Close if connection.stream.tls().is_none() && connection.is_at_its_end() => {
                break;
            }
            After::Close | After::Linger => {
                Box::pin(connection.linger()).await;
                break;
            }
            After::Http2(early) => return Box::pin(h2::serve(connection, early)).await,
            After::Reset => {
                connection.stream.reset_on_close();
                break;
            }
        }
    }
}

/// Serves requests until the connection is silent for a while or ends.
async fn awake(connection: &mut Connection) -> After {
    let mut scratch = connection.core.take_scratch();
    let after = loop {
        if let Some(after) = request::serve(connection, &mut scratch).await {
            break after;
        }
    };
    connection.core.give_back(scratch);
    after
}
