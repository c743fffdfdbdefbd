//! What a direction of a tunnel carries at a time: a buffer, larger the more comes; and where much
//! comes on the ring, a pipe, so that the bytes are moved and not copied (splice(2)).

use std::cell::OnceCell;
use std::io::{self, ErrorKind};

use crate::io::splice::{Nonblocking, Pipe, is_useful};
use crate::io::{Buffer, Expiry, Guard, Stream, clock};
use crate::limits::{AWAKE_NS, BUFFER_LARGE, BUFFER_MEDIUM, BUFFER_SMALL, PIPE_BYTES};

/// Bytes on their way from one side to the other.
#[derive(Default)]
pub(super) enum Piece {
    #[default]
    None,
    Buffer(Buffer),
    Pipe(Pipe),
}

impl From<Buffer> for Piece {
    fn from(buffer: Buffer) -> Self {
        Self::Buffer(buffer)
    }
}

impl Piece {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Buffer(buffer) => buffer.len(),
            Self::Pipe(pipe) => pipe.held(),
        }
    }

    /// Writes some of it, and takes that off it. What TLS owes is written with nothing, too.
    pub(super) async fn write(&mut self, to: &Stream) -> io::Result<()> {
        let result = match self {
            Self::Pipe(pipe) => pipe.empty(to.fd(), false),
            Self::None => to.write(Buffer::empty()).await.0,
            Self::Buffer(buffer) => {
                let (result, back) = to.write(std::mem::take(buffer)).await;
                *buffer = back;
                result
            }
        };
        match result {
            Err(e) if e.kind() == ErrorKind::WouldBlock => to.writable().await,
            result => result.map(drop),
        }
    }

    /// Its buffer, or one without memory.
    pub(super) fn take_buffer(&mut self) -> Buffer {
        match std::mem::take(self) {
            Self::Buffer(buffer) => buffer,
            Self::Pipe(pipe) => {
                pipe.give_back();
                Buffer::empty()
            }
            Self::None => Buffer::empty(),
        }
    }
}

/// Whether two sockets are past the ring's own operations on them: splice(2) wants them not to block,
/// and then those end early with nothing, and wait by themselves.
#[derive(Default)]
pub(super) struct Splicing(OnceCell<Nonblocking>);

impl Splicing {
    /// For the sockets of a tunnel; nothing where TLS is spoken, or nothing would be gained.
    pub(super) fn between<'a>(&'a self, both: [&'a Stream; 2]) -> Option<Splice<'a>> {
        let plain = both.iter().all(|stream| stream.tls().is_none());
        (plain && is_useful()).then_some(Splice { splicing: self, both })
    }
}

/// How a source may splice.
pub(super) struct Splice<'a> {
    splicing: &'a Splicing,
    both: [&'a Stream; 2],
}

impl Splice<'_> {
    fn begin(&self) {
        self.splicing.0.get_or_init(|| Nonblocking::set(self.both.map(Stream::fd)));
    }
}

/// The reading end of a direction.
pub(super) struct Source<'a> {
    stream: &'a Stream,
    pause: Guard,
    splice: Option<Splice<'a>>,
    /// The last piece took all the room there was.
    filled: bool,
    /// Much comes: the next piece is a pipe.
    much: bool,
}

impl<'a> Source<'a> {
    pub(super) fn new(stream: &'a Stream, pause: Guard, splice: Option<Splice<'a>>) -> Self {
        Self { stream, pause, splice, filled: false, much: false }
    }

    /// Reads a piece in the place of one that was written; 0 is the end.
    pub(super) async fn read(&mut self, piece: &mut Piece) -> io::Result<usize> {
        let buffer = piece.take_buffer();
        if self.much
            && let Some(splice) = &self.splice
        {
            drop(buffer);
            splice.begin();
            return self.fill(piece).await;
        }
        self.receive(buffer, piece).await
    }

    /// Waits, and takes all that has come. Always by way of the ring, so that others have their turn.
    async fn fill(&mut self, piece: &mut Piece) -> io::Result<usize> {
        loop {
            self.stream.readable().await?;
            // Without descriptors it goes on by buffers.
            let Ok(mut pipe) = Pipe::take() else {
                self.much = false;
                return self.receive(Buffer::large(), piece).await;
            };
            match pipe.fill(self.stream.fd(), PIPE_BYTES) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => pipe.give_back(),
                Err(e) => return Err(e),
                Ok(n) => {
                    self.much = n > BUFFER_MEDIUM;
                    *piece = Piece::Pipe(pipe);
                    return Ok(n);
                }
            }
        }
    }

    /// Reads into a buffer; after some silence it goes on waiting without one.
    async fn receive(&mut self, mut buffer: Buffer, piece: &mut Piece) -> io::Result<usize> {
        loop {
            if self.filled || buffer.capacity() == 0 {
                buffer = larger(buffer);
            }
            let awake_until = clock::coarse_ns().saturating_add(AWAKE_NS);
            self.pause.arm(awake_until, Expiry::PauseRead);
            let (result, back) = self.stream.read_or_cancel(buffer, &self.pause).await;
            self.pause.disarm();
            match result {
                Err(e) if has_paused(&e) => {
                    drop(back);
                    (buffer, self.filled) = (Buffer::empty(), false);
                    self.pause.forget_canceller();
                    self.stream.readable().await?;
                }
                Err(e) => return Err(e),
                Ok(n) => {
                    self.filled = back.is_full();
                    self.much = self.filled && back.capacity() > BUFFER_MEDIUM;
                    *piece = back.into();
                    return Ok(n);
                }
            }
        }
    }
}

/// Whether a read ended with nothing, for want of patience or because the socket does not block.
fn has_paused(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ECANCELED) || error.kind() == ErrorKind::WouldBlock
}

/// A buffer of the next size: who talks little holds little.
fn larger(buffer: Buffer) -> Buffer {
    match buffer.capacity() {
        0 => Buffer::small(),
        size if size <= BUFFER_SMALL => Buffer::at_most(BUFFER_MEDIUM),
        size if size <= BUFFER_MEDIUM => Buffer::at_most(BUFFER_LARGE),
        _ => buffer,
    }
}
