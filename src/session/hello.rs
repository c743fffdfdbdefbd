//! The first message of TLS arrives, on a connection that may be passed on by the name in it.

use crate::accept::client_hello::parse;
use crate::io::buffer::is_over;
use crate::io::{Buffer, Expiry, clock};
use crate::limits::BUFFER_SMALL;

use super::client::Connection;

/// What came.
pub(super) enum Heard {
    /// The server's name; `None` where the client names none, or speaks no TLS.
    Name(Option<Box<str>>),
    /// The end of the connection.
    End,
    /// Too little, until its time was over.
    TooLate,
    /// A beginning, where the core's buffers hold all that they may.
    Crowded,
}

/// Waits for the message until `until_ns`, and gives the bytes that came back with the verdict: they
/// are the target's, or the handshake's. A connection that says nothing holds no buffer.
pub(super) async fn listen(c: &Connection, until_ns: u64) -> (Heard, Buffer) {
    let mut bytes = Buffer::empty();
    loop {
        match parse(bytes.data()) {
            Ok(Some(hello)) => return (Heard::Name(hello.server_name), bytes),
            Ok(None) if bytes.is_empty() => {}
            Ok(None) if is_over() => return (Heard::Crowded, bytes),
            Ok(None) => {}
            Err(bad) => {
                let (client, listener) = (c.peer, &*c.listener.settings().name);
                tracing::debug!(%client, listener, "{} where a server is to be named", bad.reason());
                return (Heard::Name(None), bytes);
            }
        }
        // One that has sent nothing yet need not be waited for when the gateway drains.
        let expiry = if bytes.is_empty() { Expiry::CloseIdle } else { Expiry::ShutRead };
        c.guard.arm(until_ns, expiry);
        let (more, back) = read(c, bytes).await;
        bytes = back;
        let late = c.guard.expired().is_some();
        c.guard.disarm();
        if !more {
            return (if late { Heard::TooLate } else { Heard::End }, bytes);
        }
    }
}

/// Whether more came.
async fn read(c: &Connection, mut bytes: Buffer) -> (bool, Buffer) {
    if bytes.is_empty() && c.stream.readable().await.is_err() {
        return (false, bytes);
    }
    bytes.reserve(BUFFER_SMALL);
    let (result, bytes) = c.stream.read(bytes).await;
    clock::now_ns();
    (result.is_ok_and(|n| n > 0), bytes)
}
