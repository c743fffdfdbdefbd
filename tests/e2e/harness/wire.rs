//! A small strict HTTP/1.1 reader of our own, so that the gateway is not judged by its own parser.

use super::talk::Piece;
use super::tls::TlsLink;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Why no message could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Broken {
    /// End of file before the first byte.
    Closed,
    /// End of file inside a message; the last of what had come.
    Cut(String),
    /// Reset by the peer.
    Reset,
    /// Nothing came in time.
    TimedOut,
    /// Not what RFC 9112 allows.
    Malformed(String),
}

/// A message head as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Request line or status line, without its line end.
    pub start: String,
    /// Fields in order, values trimmed.
    pub fields: Vec<(String, String)>,
    /// Every byte, the blank line included.
    pub raw: Vec<u8>,
}

impl Head {
    /// The first value of a field.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values(name).first().copied()
    }

    /// All values of a field, in order.
    pub fn values(&self, name: &str) -> Vec<&str> {
        let same = |f: &&(String, String)| f.0.eq_ignore_ascii_case(name);
        self.fields.iter().filter(same).map(|f| f.1.as_str()).collect()
    }

    /// Whether a field is there.
    pub fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    fn parse(raw: Vec<u8>) -> Result<Self, Broken> {
        let bad = |what: &str| Broken::Malformed(format!("{what}: {}", printable(&raw)));
        let text: String = raw.iter().map(|&b| char::from(b)).collect();
        let mut lines = text[..text.len() - 4].split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        let mut fields = Vec::new();
        for line in lines {
            let (name, value) = line.split_once(':').ok_or_else(|| bad("a field without colon"))?;
            let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
            if name.is_empty() || !name.chars().all(token) {
                return Err(bad("a bad field name"));
            }
            if value.contains(['\r', '\n', '\0']) {
                return Err(bad("a control character in a value"));
            }
            fields.push((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()));
        }
        Ok(Self { start, fields, raw })
    }
}

/// How a message's content ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    None,
    After(u64),
    Chunked,
    AtClose,
}

impl Ends {
    /// From the framing fields, which must not contradict each other.
    pub fn by(head: &Head, otherwise: Self) -> Result<Self, Broken> {
        let lengths = head.values("content-length");
        let codings = head.values("transfer-encoding");
        match (lengths.as_slice(), codings.as_slice()) {
            ([], []) => Ok(otherwise),
            ([length], []) => match length.parse() {
                Ok(n) if length.bytes().all(|b| b.is_ascii_digit()) => Ok(Self::After(n)),
                _ => Err(Broken::Malformed(format!("Content-Length: {length}"))),
            },
            ([], ["chunked"]) => Ok(Self::Chunked),
            both => Err(Broken::Malformed(format!("framing: {both:?}"))),
        }
    }
}

/// A message's content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    pub body: Vec<u8>,
    /// Sizes of the chunks as they came.
    pub chunks: Vec<usize>,
    pub trailers: Vec<(String, String)>,
}

/// A socket of either family.
#[derive(Debug)]
pub enum Link {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsLink>),
}

impl Link {
    pub fn patience(&self, patience: Duration) {
        let patience = Some(patience);
        let set = match self {
            Self::Tcp(s) => s.set_read_timeout(patience).and(s.set_write_timeout(patience)),
            Self::Unix(s) => s.set_read_timeout(patience).and(s.set_write_timeout(patience)),
            Self::Tls(s) => {
                s.socket.set_read_timeout(patience).and(s.socket.set_write_timeout(patience))
            }
        };
        set.expect("socket timeouts");
    }

    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(s) => Self::Tcp(s.try_clone()?),
            Self::Unix(s) => Self::Unix(s.try_clone()?),
            // What lies below: enough to end it.
            Self::Tls(s) => Self::Tcp(s.socket.try_clone()?),
        })
    }

    pub fn shutdown(&self, how: Shutdown) {
        // An already closed peer is as good as a shut down one.
        let _ = match self {
            Self::Tcp(s) => s.shutdown(how),
            Self::Unix(s) => s.shutdown(how),
            Self::Tls(s) => s.socket.shutdown(how),
        };
    }

    /// This side's address (TCP).
    pub fn local_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(stream) => stream.local_addr().ok(),
            Self::Unix(_) => None,
            Self::Tls(s) => s.socket.local_addr().ok(),
        }
    }

    /// Makes the coming close a reset (TCP).
    pub fn reset_on_close(&self) {
        let Self::Tcp(stream) = self else { return };
        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
        // SAFETY: the descriptor is open and the option's value lives over the call.
        let set = unsafe {
            libc::setsockopt(
                stream.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_LINGER,
                (&raw const linger).cast(),
                size_of::<libc::linger>() as libc::socklen_t,
            )
        };
        assert_eq!(set, 0, "SO_LINGER");
    }
}

impl Read for Link {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(s) => s.read(into),
            Self::Unix(s) => s.read(into),
            Self::Tls(s) => s.read(into),
        }
    }
}

impl Write for Link {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(s) => s.write(from),
            Self::Unix(s) => s.write(from),
            Self::Tls(s) => s.write(from),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tls(s) => s.flush(),
            _ => Ok(()),
        }
    }
}

/// A socket and what was read from it but not used yet.
#[derive(Debug)]
pub struct Wire {
    pub link: Link,
    ahead: Vec<u8>,
}

impl Wire {
    pub fn new(link: Link) -> Self {
        link.patience(super::PATIENCE);
        Self { link, ahead: Vec::new() }
    }

    /// Reads once; 0 at end of file.
    pub fn fill(&mut self) -> Result<usize, Broken> {
        self.fill_up_to(64 * 1024)
    }

    fn fill_up_to(&mut self, most: usize) -> Result<usize, Broken> {
        let mut piece = [0; 64 * 1024];
        loop {
            return match self.link.read(&mut piece[..most]) {
                Ok(n) => {
                    self.ahead.extend_from_slice(&piece[..n]);
                    Ok(n)
                }
                Err(e) => match e.kind() {
                    io::ErrorKind::Interrupted => continue,
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Err(Broken::TimedOut),
                    _ => Err(Broken::Reset),
                },
            };
        }
    }

    /// Reads one head.
    pub fn head(&mut self) -> Result<Head, Broken> {
        let mut seen = 0;
        loop {
            let from = seen.min(self.ahead.len());
            if let Some(end) = self.ahead[from..].windows(4).position(|w| w == b"\r\n\r\n") {
                let rest = self.ahead.split_off(from + end + 4);
                return Head::parse(std::mem::replace(&mut self.ahead, rest));
            }
            seen = self.ahead.len().saturating_sub(3);
            self.need_more()?;
        }
    }

    fn need_more(&mut self) -> Result<(), Broken> {
        match self.fill()? {
            0 if self.ahead.is_empty() => Err(Broken::Closed),
            0 => Err(Broken::Cut(tail(&self.ahead))),
            _ => Ok(()),
        }
    }

    /// Reads a content to its end.
    pub fn content(&mut self, ends: Ends) -> Result<Content, Broken> {
        let mut content = Content::default();
        match ends {
            Ends::None => {}
            Ends::After(n) => content.body = self.exactly(n as usize)?,
            Ends::AtClose => content.body = self.rest()?,
            Ends::Chunked => loop {
                match self.chunk()? {
                    Some(data) => {
                        content.chunks.push(data.len());
                        content.body.extend_from_slice(&data);
                    }
                    None => {
                        content.trailers = self.trailers()?;
                        return Ok(content);
                    }
                }
            },
        }
        Ok(content)
    }

    /// Reads what is there of a content, at least a byte; `ends` becomes what is left of it.
    pub fn piece(&mut self, ends: &mut Ends) -> Result<Piece, Broken> {
        let trailers = match *ends {
            Ends::None | Ends::After(0) => Vec::new(),
            Ends::After(left) => {
                let data = self.some(left)?;
                *ends = Ends::After(left - data.len() as u64);
                return Ok(Piece::Data(data));
            }
            Ends::Chunked => match self.chunk()? {
                Some(data) => return Ok(Piece::Data(data)),
                None => self.trailers()?,
            },
            Ends::AtClose => match self.ahead.is_empty() && self.fill()? == 0 {
                true => Vec::new(),
                false => return Ok(Piece::Data(std::mem::take(&mut self.ahead))),
            },
        };
        *ends = Ends::None;
        Ok(Piece::End(trailers))
    }

    /// Reads what there is, at most so many bytes.
    fn some(&mut self, most: u64) -> Result<Vec<u8>, Broken> {
        if self.ahead.is_empty() {
            self.need_more()?;
        }
        self.exactly(self.ahead.len().min(usize::try_from(most).unwrap_or(usize::MAX)))
    }

    /// Reads one chunk; `None` for the last.
    pub fn chunk(&mut self) -> Result<Option<Vec<u8>>, Broken> {
        let line = self.line()?;
        let hex = line.split(';').next().unwrap_or_default();
        let size = usize::from_str_radix(hex, 16)
            .ok()
            .filter(|_| hex.bytes().all(|b| b.is_ascii_hexdigit()))
            .ok_or_else(|| Broken::Malformed(format!("chunk size {line:?}")))?;
        if size == 0 {
            return Ok(None);
        }
        let mut data = self.exactly(size + 2)?;
        if !data.ends_with(b"\r\n") {
            return Err(Broken::Malformed("a chunk without its line end".to_owned()));
        }
        data.truncate(size);
        Ok(Some(data))
    }

    /// Reads the trailer section behind the last chunk.
    pub fn trailers(&mut self) -> Result<Vec<(String, String)>, Broken> {
        let mut trailers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(trailers);
            }
            let (name, value) = line
                .split_once(':')
                .ok_or_else(|| Broken::Malformed(format!("trailer {line:?}")))?;
            trailers.push((name.to_owned(), value.trim().to_owned()));
        }
    }

    fn line(&mut self) -> Result<String, Broken> {
        loop {
            if let Some(end) = self.ahead.windows(2).position(|w| w == b"\r\n") {
                let rest = self.ahead.split_off(end + 2);
                let line = std::mem::replace(&mut self.ahead, rest);
                return Ok(printable(&line[..end]));
            }
            if self.fill()? == 0 {
                return Err(Broken::Cut(tail(&self.ahead)));
            }
        }
    }

    /// Reads that many bytes.
    pub fn exactly(&mut self, n: usize) -> Result<Vec<u8>, Broken> {
        while self.ahead.len() < n {
            if self.fill()? == 0 {
                return Err(Broken::Cut(tail(&self.ahead)));
            }
        }
        let rest = self.ahead.split_off(n);
        Ok(std::mem::replace(&mut self.ahead, rest))
    }

    /// Reads until end of file.
    pub fn rest(&mut self) -> Result<Vec<u8>, Broken> {
        while self.fill()? != 0 {}
        Ok(std::mem::take(&mut self.ahead))
    }

    /// Reads until end of file and keeps nothing.
    pub fn drain(&mut self) -> Result<(), Broken> {
        while self.fill()? != 0 {
            self.ahead.clear();
        }
        Ok(())
    }

    /// Reads and counts until `n` bytes came, keeping none of them.
    pub fn discard(&mut self, n: u64) -> Result<(), Broken> {
        let mut left = n;
        loop {
            let taken = left.min(self.ahead.len() as u64);
            self.ahead.drain(..taken as usize);
            left -= taken;
            if left == 0 {
                return Ok(());
            }
            if self.fill()? == 0 {
                return Err(Broken::Cut(format!("{left} bytes missing")));
            }
        }
    }

    /// Reads a PROXY header if the bytes begin with one; leaves others where they are. What follows it
    /// stays in the socket: TLS may begin there.
    pub fn proxy_header(&mut self) -> Option<Vec<u8>> {
        let mark = self.at_least(6)?.to_vec();
        let length = match &mark[..6] {
            b"PROXY " => loop {
                if let Some(end) = self.ahead.windows(2).position(|w| w == b"\r\n") {
                    break end + 2;
                }
                self.at_least(self.ahead.len() + 1)?;
            },
            b"\r\n\r\n\0\r" => {
                let fixed = self.at_least(16)?;
                16 + usize::from(u16::from_be_bytes([fixed[14], fixed[15]]))
            }
            _ => return None,
        };
        self.at_least(length)?;
        self.exactly(length).ok()
    }

    /// The bytes ahead, once there are so many; no more are read.
    fn at_least(&mut self, n: usize) -> Option<&[u8]> {
        while self.ahead.len() < n {
            if self.fill_up_to(n - self.ahead.len()).ok()? == 0 {
                return None;
            }
        }
        Some(&self.ahead)
    }

    /// What was read but not used yet.
    pub fn ahead(&self) -> &[u8] {
        &self.ahead
    }
}

/// The last of what came before a message broke off.
fn tail(bytes: &[u8]) -> String {
    printable(&bytes[bytes.len().saturating_sub(100)..])
}

/// Bytes as text for messages; what is not ASCII is escaped.
pub fn printable(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|&b| std::ascii::escape_default(b)).map(char::from).collect()
}
