//! What a client sends and receives through: a socket, or TLS over one.

use std::io;

use rustls::client::UnbufferedClientConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, UnbufferedStatus};

use crate::net::{self, Socket};
use crate::tls::{Speaker, Wanted};

/// Room for one receive.
pub const SCRATCH: usize = 64 * 1024;
/// The most content of one record (RFC 8446 section 5.1).
const RECORD: usize = 16 * 1024;
/// What a record has beside its content, and some.
const RECORD_OVERHEAD: usize = 64;

/// Receive buffers, shared by all connections.
#[derive(Debug)]
pub struct Scratch {
    /// What was received last, in the clear.
    pub plain: Vec<u8>,
    coded: Vec<u8>,
}

impl Default for Scratch {
    fn default() -> Self {
        Self { plain: vec![0; SCRATCH], coded: vec![0; SCRATCH] }
    }
}

/// What a receive brought.
#[derive(Debug, Clone, Copy)]
pub struct Received {
    /// Bytes in [`Scratch::plain`]; 0: the end.
    pub len: usize,
    /// The buffer was filled: there is more.
    pub full: bool,
}

/// A connection to a proxy.
#[derive(Debug)]
pub struct Wire {
    socket: Socket,
    tls: Option<Box<Tls>>,
}

impl Wire {
    /// Over a socket that connects; with `speaker` TLS begins at once.
    pub fn new(socket: Socket, speaker: Option<&Speaker>) -> io::Result<Self> {
        let tls = speaker.map(Tls::new).transpose()?.map(Box::new);
        Ok(Self { socket, tls })
    }

    /// The socket below.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Whether content can be sent as far as TLS is concerned.
    pub fn is_open(&self) -> bool {
        self.tls.as_ref().is_none_or(|tls| tls.open)
    }

    /// Whether content comes as it is on the socket.
    pub fn is_plain(&self) -> bool {
        self.tls.is_none()
    }

    /// Receives; with TLS it takes part in the handshake, too.
    pub fn recv(&mut self, scratch: &mut Scratch) -> io::Result<Received> {
        match &mut self.tls {
            None => {
                let len = self.socket.recv(&mut scratch.plain)?;
                Ok(Received { len, full: len == SCRATCH })
            }
            Some(tls) => tls.recv(&self.socket, scratch),
        }
    }

    /// Sends what fits.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.tls {
            None => self.socket.send(bytes),
            Some(tls) => tls.send(&self.socket, bytes),
        }
    }
}

struct Tls {
    machine: UnbufferedClientConnection,
    wanted: Wanted,
    open: bool,
    /// The beginning of a record.
    begun: Vec<u8>,
    /// Encrypted, and not yet sent.
    out: Vec<u8>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("Tls").field("wanted", &self.wanted).field("open", &self.open).finish()
    }
}

impl Tls {
    fn new(speaker: &Speaker) -> io::Result<Self> {
        let machine = UnbufferedClientConnection::new(speaker.config.clone(), speaker.name.clone());
        let machine = machine.map_err(io::Error::other)?;
        let wanted = speaker.wanted;
        let mut new = Self { machine, wanted, open: false, begun: Vec::new(), out: Vec::new() };
        new.advance(&mut [], &mut [], &[])?;
        Ok(new)
    }

    fn recv(&mut self, socket: &Socket, scratch: &mut Scratch) -> io::Result<Received> {
        loop {
            self.flush(socket)?;
            let begun = self.begun.len();
            scratch.coded[..begun].copy_from_slice(&self.begun);
            let received = socket.recv(&mut scratch.coded[begun..])?;
            if received == 0 {
                return Ok(Received { len: 0, full: false });
            }
            let filled = begun + received;
            let coded = &mut scratch.coded[..filled];
            let (understood, len) = self.advance(coded, &mut scratch.plain, &[])?;
            self.begun.clear();
            self.begun.extend_from_slice(&scratch.coded[understood..filled]);
            self.flush(socket)?;
            // Without content it was the handshake's, or tickets; there may be more behind.
            if len > 0 {
                return Ok(Received { len, full: filled == SCRATCH });
            }
        }
    }

    fn send(&mut self, socket: &Socket, bytes: &[u8]) -> io::Result<usize> {
        self.flush(socket)?;
        if !self.open || !self.out.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let piece = &bytes[..bytes.len().min(RECORD)];
        self.advance(&mut [], &mut [], piece)?;
        self.flush(socket)?;
        Ok(piece.len())
    }

    /// Sends what the socket takes.
    fn flush(&mut self, socket: &Socket) -> io::Result<()> {
        let mut sent = 0;
        while sent < self.out.len() {
            match socket.send(&self.out[sent..]) {
                Ok(n) => sent += n,
                Err(error) if net::would_block(&error) => break,
                Err(error) => return Err(error),
            }
        }
        self.out.drain(..sent);
        Ok(())
    }

    /// Understands `coded` as far as it is whole, writes its content to `plain` and encrypts
    /// `content`; returns how much was understood and how much content there was.
    fn advance(
        &mut self,
        coded: &mut [u8],
        plain: &mut [u8],
        content: &[u8],
    ) -> io::Result<(usize, usize)> {
        let (mut at, mut len) = (0, 0);
        loop {
            let UnbufferedStatus { discard, state } =
                self.machine.process_tls_records(&mut coded[at..]);
            at += discard;
            match state.map_err(io::Error::other)? {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(io::Error::other)?;
                        at += record.discard;
                        // Content is shorter than the records it came in.
                        plain[len..len + record.payload.len()].copy_from_slice(record.payload);
                        len += record.payload.len();
                    }
                }
                ConnectionState::EncodeTlsData(mut message) => {
                    append(&mut self.out, RECORD_OVERHEAD, |room| match message.encode(room) {
                        Ok(n) => Ok(Some(n)),
                        Err(EncodeError::InsufficientSize(_)) => Ok(None),
                        Err(error) => Err(io::Error::other(error)),
                    })?;
                }
                ConnectionState::TransmitTlsData(sent) => sent.done(),
                ConnectionState::WriteTraffic(mut traffic) => {
                    if !content.is_empty() {
                        append(&mut self.out, content.len() + RECORD_OVERHEAD, |room| {
                            traffic.encrypt(content, room).map(Some).map_err(io::Error::other)
                        })?;
                    }
                    if !self.open {
                        self.check()?;
                    }
                    return Ok((at, len));
                }
                ConnectionState::PeerClosed => {}
                _ => return Ok((at, len)),
            }
        }
    }

    /// Whether the handshake was what it should be.
    fn check(&mut self) -> io::Result<()> {
        if !self.wanted.is(self.machine.handshake_kind()) {
            let found = self.machine.handshake_kind();
            return Err(io::Error::other(format!("{:?} handshake wanted: {found:?}", self.wanted)));
        }
        if self.machine.alpn_protocol().is_none() {
            return Err(io::Error::other("no protocol was agreed on"));
        }
        self.open = true;
        Ok(())
    }
}

/// Lets `write` append to `out`, with more room while it says `None`.
fn append(
    out: &mut Vec<u8>,
    mut room: usize,
    mut write: impl FnMut(&mut [u8]) -> io::Result<Option<usize>>,
) -> io::Result<()> {
    let end = out.len();
    loop {
        out.resize(end + room, 0);
        match write(&mut out[end..])? {
            Some(written) => {
                out.truncate(end + written);
                return Ok(());
            }
            None => room *= 4,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, TcpListener};
    use std::path::PathBuf;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use rustls::{ServerConfig, ServerConnection, StreamOwned};

    use super::*;
    use crate::tls::Identity;

    #[test]
    fn room_grows_until_it_fits() {
        let mut out = b"before".to_vec();
        append(&mut out, 2, |room| {
            if room.len() < 10 {
                return Ok(None);
            }
            room[..3].copy_from_slice(b"new");
            Ok(Some(3))
        })
        .unwrap();
        assert_eq!(out, b"beforenew");
        assert!(append(&mut out, 1, |_| Err(io::ErrorKind::Other.into())).is_err());
    }

    /// Answers `times` connections with what they send, in capitals.
    fn shout(identity: &Identity, times: usize) -> u16 {
        let pem = |path| std::fs::read(path).unwrap();
        let certificate = CertificateDer::from_pem_slice(&pem(&identity.certificate)).unwrap();
        let key = PrivateKeyDer::from_pem_slice(&pem(&identity.key)).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider);
        let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let mut config = config.with_single_cert(vec![certificate], key).unwrap();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for _ in 0..times {
                let (socket, _) = listener.accept().unwrap();
                let tls = ServerConnection::new(config.clone()).unwrap();
                let mut stream = StreamOwned::new(tls, socket);
                let mut heard = vec![0; 20_000];
                // A client that refuses the certificate sends nothing.
                if stream.read_exact(&mut heard).is_ok() {
                    stream.write_all(&heard.to_ascii_uppercase()).unwrap();
                }
            }
        });
        port
    }

    /// Sends 20,000 bytes, more than one record holds, and returns what comes back.
    fn converse(port: u16, speaker: &Speaker) -> io::Result<Vec<u8>> {
        let mut wire = Wire::new(Socket::connect(Ipv4Addr::LOCALHOST, port)?, Some(speaker))?;
        let (asked, mut sent, mut heard) = (vec![b'a'; 20_000], 0, Vec::new());
        let (mut scratch, end) = (Scratch::default(), Instant::now() + Duration::from_secs(10));
        while heard.len() < asked.len() && Instant::now() < end {
            match wire.send(&asked[sent..]) {
                Ok(n) => sent += n,
                Err(error) if net::would_block(&error) => {}
                Err(error) => return Err(error),
            }
            match wire.recv(&mut scratch) {
                Ok(Received { len: 0, .. }) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(received) => heard.extend_from_slice(&scratch.plain[..received.len]),
                Err(error) if net::would_block(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(heard)
    }

    fn identity(name: &str) -> (PathBuf, Identity) {
        let dir = std::env::temp_dir().join(format!("loadtest-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let identity = Identity::make(&dir).unwrap();
        (dir, identity)
    }

    #[test]
    fn content_comes_through_tls() {
        let (dir, ours) = identity("tls");
        let port = shout(&ours, 4);
        let resuming = Speaker::resuming(&ours, "http/1.1").unwrap();
        let speakers = [
            Speaker::careful(&ours, "http/1.1").unwrap(),
            Speaker::quick(&ours, "http/1.1").unwrap(),
            resuming.lenient(),
            resuming,
        ];
        for speaker in speakers {
            assert_eq!(converse(port, &speaker).unwrap(), [b'A'; 20_000], "{:?}", speaker.wanted);
        }
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn wrong_handshakes_are_refused() {
        let ((dir, ours), (other_dir, other)) = (identity("ours"), identity("other"));
        let port = shout(&ours, 4);
        let wrong = [
            (Speaker::careful(&other, "http/1.1"), "certificate"),
            (Speaker::quick(&other, "http/1.1"), "another certificate"),
            (Speaker::resuming(&ours, "http/1.1"), "Resumed handshake wanted"),
            (Speaker::quick(&ours, "h2"), "protocol"),
        ];
        for (speaker, words) in wrong {
            let why = converse(port, &speaker.unwrap()).unwrap_err().to_string();
            assert!(why.to_lowercase().contains(&words.to_lowercase()), "{why}");
        }
        std::fs::remove_dir_all(dir).unwrap();
        std::fs::remove_dir_all(other_dir).unwrap();
    }
}
