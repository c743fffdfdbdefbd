//! WebSocket (RFC 6455) as far as a relay sees it: a handshake, then masked frames that come back
//! as they are, without the mask.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::backend::{body_byte, find};

/// Payload of a frame: the most that needs no longer length.
pub const PAYLOAD: usize = 125;
/// What a client sends; the RFC's own example.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// What the accepting side appends to the key (RFC 6455 section 1.3).
const SUFFIX: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// A mask is a client's choice; load that is always the same needs only one.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
/// A whole binary message (RFC 6455 section 5.2).
const BINARY: u8 = 0x82;
const MASKED: u8 = 0x80;
/// Type, length and mask of what clients send.
const MASKED_HEAD: usize = 2 + MASK.len();

/// The one frame that clients send.
static FRAME: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut frame = vec![BINARY, MASKED | PAYLOAD as u8];
    frame.extend_from_slice(&MASK);
    frame.extend((0..PAYLOAD).map(|n| body_byte(n) ^ MASK[n % 4]));
    frame
});
/// What comes back.
static ECHO: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut frame = vec![BINARY, PAYLOAD as u8];
    frame.extend((0..PAYLOAD).map(body_byte));
    frame
});

/// The longest answer to a handshake.
const MAX_HEAD: usize = 8 * 1024;

/// What to answer to a key.
pub fn accept_of(key: &str) -> String {
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{SUFFIX}").as_bytes()))
}

/// The answer to a client's handshake.
pub fn switching(key: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        accept_of(key)
    )
    .into_bytes()
}

/// Sends every whole frame of `bytes` back and returns how much was used.
pub fn echo(bytes: &[u8], out: &mut Vec<u8>) -> Result<usize, &'static str> {
    let mut used = 0;
    while let Some(head) = bytes[used..].first_chunk::<MASKED_HEAD>() {
        let [BINARY, length, mask @ ..] = head else { return Err("no binary frame") };
        if length & MASKED == 0 || length & !MASKED > PAYLOAD as u8 {
            return Err("a frame without a mask, or too long");
        }
        let length = usize::from(length & !MASKED);
        let payload = used + MASKED_HEAD..used + MASKED_HEAD + length;
        let Some(masked) = bytes.get(payload.clone()) else { break };
        out.extend_from_slice(&[BINARY, length as u8]);
        out.extend(masked.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        used = payload.end;
    }
    Ok(used)
}

/// One client: one frame at a time.
#[derive(Debug)]
pub struct Client {
    open: bool,
    /// When what is to come back was sent, or shall be.
    started: Option<u64>,
}

impl Client {
    /// A new one; its handshake goes to `out`.
    pub fn new(out: &mut Vec<u8>) -> Self {
        let request = format!(
            "GET /socket HTTP/1.1\r\nHost: api.example.com\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
        );
        out.extend_from_slice(request.as_bytes());
        Self { open: false, started: None }
    }

    /// Whether the handshake is over.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// How many frames are to come back.
    pub fn in_flight(&self) -> usize {
        usize::from(self.started.is_some())
    }

    /// Sends a frame, now or when the handshake is over.
    pub fn begin(&mut self, started: u64, out: &mut Vec<u8>) {
        self.started = Some(started);
        if self.open {
            out.extend_from_slice(&FRAME);
        }
    }

    /// Takes what is whole of `bytes` and returns how much that was; see [`crate::http2::Client`].
    pub fn take(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        done: &mut Vec<u64>,
    ) -> Result<usize, &'static str> {
        if !self.open {
            return self.take_answer(bytes, out);
        }
        if bytes.len() < ECHO.len() {
            return Ok(0);
        }
        match self.started.take() {
            Some(started) if bytes == ECHO.as_slice() => {
                done.push(started);
                Ok(bytes.len())
            }
            _ => Err("wrong frame"),
        }
    }

    fn take_answer(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<usize, &'static str> {
        let Some(end) = find(bytes, b"\r\n\r\n") else {
            return if bytes.len() > MAX_HEAD { Err("endless head") } else { Ok(0) };
        };
        if !bytes.starts_with(b"HTTP/1.1 101 ") {
            return Err("the handshake was refused");
        }
        let head = String::from_utf8_lossy(&bytes[..end]);
        let accepted = head.lines().filter_map(|line| line.split_once(':')).any(|(name, value)| {
            name.eq_ignore_ascii_case("sec-websocket-accept") && value.trim() == accept_of(KEY)
        });
        if !accepted {
            return Err("the handshake was accepted for another key");
        }
        self.open = true;
        if let Some(started) = self.started {
            self.begin(started, out);
        }
        Ok(end + 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_accepted_as_the_rfc_does() {
        assert_eq!(accept_of(KEY), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_masked_frame_comes_back_plain() {
        // RFC 6455 section 5.7: "Hello", here as a binary message.
        let bytes = b"\x82\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
        let mut out = Vec::new();
        assert_eq!(echo(&bytes[..10], &mut out), Ok(0));
        assert_eq!(echo(bytes, &mut out), Ok(bytes.len()));
        assert_eq!(out, b"\x82\x05Hello");
        assert!(echo(b"\x82\x05Hello", &mut out).is_err(), "no mask");
        assert!(echo(b"\x88\x80....", &mut out).is_err(), "a close");
    }

    #[test]
    fn client_and_echo_understand_each_other() {
        let (mut there, mut back, mut done) = (Vec::new(), Vec::new(), Vec::new());
        let mut client = Client::new(&mut there);
        there.clear();
        client.begin(7, &mut there);
        assert!(there.is_empty() && !client.is_open());
        client.take(&switching(KEY), &mut there, &mut done).unwrap();
        assert_eq!(there.len(), MASKED_HEAD + PAYLOAD);
        echo(&there, &mut back).unwrap();
        for end in 0..back.len() {
            assert_eq!(client.take(&back[..end], &mut there, &mut done), Ok(0));
        }
        client.take(&back, &mut there, &mut done).unwrap();
        assert_eq!((done, client.in_flight()), (vec![7], 0));
    }

    #[test]
    fn wrong_handshakes_and_frames_are_named() {
        let open = |answer: &[u8]| {
            let mut client = Client::new(&mut Vec::new());
            client.take(answer, &mut Vec::new(), &mut Vec::new()).map(|_| client)
        };
        assert!(open(b"HTTP/1.1 200 OK\r\n\r\n").unwrap_err().contains("refused"));
        assert!(open(&switching("other")).unwrap_err().contains("another key"));
        let mut client = open(&switching(KEY)).unwrap();
        client.begin(1, &mut Vec::new());
        let wrong = [&[BINARY, PAYLOAD as u8][..], &[b'x'; PAYLOAD]].concat();
        assert!(client.take(&wrong, &mut Vec::new(), &mut Vec::new()).is_err());
    }
}
