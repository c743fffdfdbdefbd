//! What each side tells of itself first, and changes later (RFC 9113 sections 3.4 and 6.5).

use super::frame::number;
use super::stream::WRITES;
use super::{Fault, Machine, Role};
use crate::config::HttpBounds;
use crate::http::h2::code::{Code, WRONG};
use crate::http::h2::kinds::{
    ACK, FRAME_SIZE, HEAD_SIZE, PUSH, SETTINGS, STREAMS, TABLE_SIZE, TUNNELS, WINDOW, WINDOW_UPDATE,
};
use crate::limits::H2_HEAD_FACTOR;

/// What a client says first.
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Every window before anything else was said.
pub(super) const WINDOW_FIRST: u32 = 65_535;
/// The largest that a window can be.
pub(super) const WINDOW_MOST: i64 = i32::MAX as i64;
/// Frames that a peer may allow at most, payload bytes.
const FRAME_MOST: u32 = (1 << 24) - 1;

/// On what terms a connection is spoken on.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Of heads that come.
    pub bounds: HttpBounds,
    /// Streams that the peer may have open.
    pub max_streams: u32,
    /// Content of one stream that may come before any was taken.
    pub stream_window: u32,
    /// Content of all streams together.
    pub connection_window: u32,
}

impl Machine {
    pub(super) fn greet(&mut self, out: &mut Vec<u8>) {
        let head = self.bounds.max_head.saturating_mul(H2_HEAD_FACTOR);
        let head = (HEAD_SIZE, u32::try_from(head).unwrap_or(u32::MAX));
        let window = (WINDOW, self.stream_window);
        let told: &[(u16, u32)] = match self.role {
            Role::Server => &[(STREAMS, self.max_streams), window, head, (TUNNELS, 1)],
            Role::Client => &[(PUSH, 0), window, head],
        };
        if self.role == Role::Client {
            out.extend_from_slice(PREFACE);
        }
        let mut payload = Vec::with_capacity(6 * told.len());
        for (name, value) in told {
            payload.extend_from_slice(&name.to_be_bytes());
            payload.extend_from_slice(&value.to_be_bytes());
        }
        self.write(SETTINGS, 0, 0, &payload, out);
        let more = self.windows.incoming_most.saturating_sub(WINDOW_FIRST);
        if more > 0 {
            self.windows.incoming += i64::from(more);
            self.write(WINDOW_UPDATE, 0, 0, &more.to_be_bytes(), out);
        }
    }

    /// The peer's settings, or that it has taken ours.
    pub(super) fn take_settings(
        &mut self,
        ack: bool,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        if ack {
            let owed = std::mem::take(&mut self.owes_ack);
            return if owed { Ok(()) } else { Err(WRONG) };
        }
        let mut window = self.peer.window;
        for setting in payload.chunks_exact(6) {
            match (u16::from_be_bytes([setting[0], setting[1]]), number(setting, 2)) {
                (WINDOW, n) if i64::from(n) > WINDOW_MOST => {
                    return Err(Fault(Code::FLOW_CONTROL_ERROR));
                }
                (WINDOW, n) => window = n,
                (name, value) => self.take_setting(name, value)?,
            }
        }
        // Once, however often a frame says it: all streams are walked.
        self.resize(window)?;
        self.has_settings = true;
        self.write(SETTINGS, ACK, 0, &[], out);
        Ok(())
    }

    fn take_setting(&mut self, name: u16, value: u32) -> Result<(), Fault> {
        match (name, value) {
            (TABLE_SIZE, n) => self.encoder.set_max_table(n as usize),
            (PUSH, 0) => {}
            (PUSH, 1) if self.role == Role::Server => {}
            (PUSH, _) => return Err(WRONG),
            (STREAMS, n) => self.peer.streams = n,
            (FRAME_SIZE, n) if !(super::frame::PAYLOAD_MAX as u32..=FRAME_MOST).contains(&n) => {
                return Err(WRONG);
            }
            (TUNNELS, n @ (0 | 1)) => self.peer.tunnels = n == 1,
            (TUNNELS, _) => return Err(WRONG),
            _ => {}
        }
        Ok(())
    }

    /// Another window for every stream, also of those that there are (section 6.9.2).
    fn resize(&mut self, window: u32) -> Result<(), Fault> {
        let by = i64::from(window) - i64::from(self.peer.window);
        if by == 0 {
            return Ok(());
        }
        self.peer.window = window;
        let mut most = 0;
        for slot in self.streams.all() {
            slot.out_window += by;
            most = slot.out_window.max(most);
            if slot.out_window > 0 {
                slot.wake(WRITES);
            }
        }
        if most > WINDOW_MOST { Err(Fault(Code::FLOW_CONTROL_ERROR)) } else { Ok(()) }
    }
}
