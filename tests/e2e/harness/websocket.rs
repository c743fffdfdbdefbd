//! WebSocket handshakes (RFC 6455 section 4) and frames (section 5), by our own hand.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;

use super::{Client, Head, Peer, Upstream};

/// The key of the RFC's example.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// What Sec-WebSocket-Accept must be for a key.
pub fn accept(key: &str) -> String {
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    base64::engine::general_purpose::STANDARD.encode(hash)
}

/// A client's opening handshake, with further field lines.
pub fn opening(path: &str, fields: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: test.example\r\nConnection: keep-alive, Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{fields}\r\n"
    )
}

/// A server's answer to it.
pub fn switching(head: &Head) -> String {
    let key = head.value("sec-websocket-key").expect("a key");
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        accept(key)
    )
}

/// A text frame, masked as a client's must be.
pub fn frame(text: &str) -> Vec<u8> {
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    let length = u8::try_from(text.len()).ok().filter(|n| *n < 126).expect("a short text");
    let masked = text.bytes().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
    [0x81, 0x80 | length].into_iter().chain(mask).chain(masked).collect()
}

impl Client {
    /// Opens a tunnel; gives the answer's head.
    #[track_caller]
    pub fn open_tunnel(&mut self, path: &str) -> Head {
        self.send(opening(path, ""));
        self.switched()
    }

    /// Reads the head of a 101.
    #[track_caller]
    pub fn switched(&mut self) -> Head {
        let head = self.head().expect("an answer");
        assert!(head.start.starts_with("HTTP/1.1 101 "), "{head:#?}");
        head
    }
}

impl Peer {
    /// Answers a client's opening handshake; gives its head.
    pub fn switch(&mut self) -> Head {
        let head = self.head();
        self.send(switching(&head));
        head
    }
}

/// Switches, then gives back what comes, so many bytes.
pub fn echo_of(n: usize) -> Upstream {
    Upstream::new(move |peer| {
        peer.switch();
        let bytes = peer.exactly(n);
        peer.send(bytes);
        peer.wait_closed();
    })
}

/// Switches, and then does what the script says.
pub fn switching_then(script: impl Fn(&mut Peer) + Send + Sync + 'static) -> Upstream {
    Upstream::new(move |peer| {
        peer.switch();
        script(peer);
    })
}
