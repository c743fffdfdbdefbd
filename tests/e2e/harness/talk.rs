//! One exchange as one of its ends sees it, whatever the version it is carried by.

use std::io::{ErrorKind, Write};

use super::wire::{Broken, Ends, Wire};
use super::{PATIENCE, STOPPED};

/// Trailers.
pub type Fields = Vec<(String, String)>;

/// Content and its trailers.
pub type Whole = (Vec<u8>, Fields);

/// The version on one side of the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    Http1,
    Http2,
}

/// Those of a client and of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    pub down: Version,
    pub up: Version,
}

/// Keys that a test adds to the configuration of [`Versions::config`].
#[derive(Debug, Default, Clone, Copy)]
pub struct Keys<'a> {
    pub top: &'a str,
    pub listener: &'a str,
    pub upstream: &'a str,
    pub route: &'a str,
    /// Behind everything else.
    pub routes: &'a str,
}

impl Versions {
    /// A configuration that sends everything to these targets.
    pub fn config(self, targets: &[&str], keys: Keys<'_>) -> String {
        let protocols = match self.down {
            Version::Http1 => "",
            Version::Http2 => "protocols = [\"h2\", \"http/1.1\"]",
        };
        let protocol = match self.up {
            Version::Http1 => "http/1.1",
            Version::Http2 => "h2",
        };
        let Keys { top, listener, upstream, route, routes } = keys;
        format!(
            "{top}\n[[listeners]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\n{protocols}\n{listener}\n\
             [upstreams.app]\ntargets = {targets:?}\nprotocol = \"{protocol}\"\n{upstream}\n\
             [[routes]]\nname = \"all\"\npath = \"/*\"\nupstream = \"app\"\n{route}\n{routes}\n"
        )
    }
}

/// A part of a content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    Data(Vec<u8>),
    /// Its end, with its trailers.
    End(Fields),
}

/// The content of one exchange, out and in.
pub trait Talk {
    /// Sends content.
    fn send(&mut self, bytes: &[u8]) -> Result<(), Broken>;

    /// Sends copies of `piece` until the gateway has taken none for [`STOPPED`] or `most` bytes went;
    /// gives the bytes it took. For content of a known length.
    fn send_until_stopped(&mut self, piece: &[u8], most: u64) -> u64;

    /// Ends the content.
    fn end(&mut self, trailers: &[(String, String)]) -> Result<(), Broken>;

    /// The next piece of what comes.
    fn piece(&mut self) -> Result<Piece, Broken>;

    /// All that comes.
    fn content(&mut self) -> Result<Whole, Broken> {
        let mut body = Vec::new();
        loop {
            match self.piece()? {
                Piece::Data(data) => body.extend_from_slice(&data),
                Piece::End(trailers) => return Ok((body, trailers)),
            }
        }
    }
}

/// On a connection of HTTP/1.1.
pub struct One {
    pub wire: Wire,
    /// What is left to send, and to read.
    pub sends: Ends,
    pub reads: Ends,
}

impl One {
    pub fn new(wire: Wire) -> Self {
        Self { wire, sends: Ends::None, reads: Ends::None }
    }

    /// Whether both messages went whole.
    pub fn is_over(&self) -> bool {
        let whole = |ends| matches!(ends, Ends::None | Ends::After(0));
        whole(self.sends) && whole(self.reads)
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        self.wire.link.write_all(bytes).map_err(|error| match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Broken::TimedOut,
            _ => Broken::Reset,
        })
    }
}

impl Talk for One {
    fn send(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        match &mut self.sends {
            // A chunk without content would be the last.
            Ends::Chunked if bytes.is_empty() => Ok(()),
            Ends::Chunked => {
                let chunk = [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
                self.write(&chunk)
            }
            Ends::After(left) => {
                *left -= bytes.len() as u64;
                self.write(bytes)
            }
            Ends::None | Ends::AtClose => panic!("a head that says of content was not sent"),
        }
    }

    fn send_until_stopped(&mut self, piece: &[u8], most: u64) -> u64 {
        self.wire.link.patience(STOPPED);
        let mut taken = 0;
        while taken < most {
            let wanted = piece.len().min((most - taken) as usize);
            match self.wire.link.write(&piece[..wanted]) {
                Ok(n) => taken += n as u64,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        self.wire.link.patience(PATIENCE);
        if let Ends::After(left) = &mut self.sends {
            *left -= taken;
        }
        taken
    }

    fn end(&mut self, trailers: &[(String, String)]) -> Result<(), Broken> {
        let ended = std::mem::replace(&mut self.sends, Ends::None);
        match ended {
            Ends::Chunked => {
                let lines = trailers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
                self.write(format!("0\r\n{}\r\n", lines.collect::<String>()).as_bytes())
            }
            Ends::After(left) => {
                assert_eq!(left, 0, "content that was announced and not sent");
                Ok(())
            }
            Ends::None | Ends::AtClose => Ok(()),
        }
    }

    fn piece(&mut self) -> Result<Piece, Broken> {
        self.wire.piece(&mut self.reads)
    }
}
