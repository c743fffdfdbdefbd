//! What a request needs while it is served: kept warm by the core from one to the next.

use crate::http::h1::Scan;
use crate::http::{RequestHead, ResponseHead};
use crate::io::Buffer;
use crate::route::Params;

/// One request's working state. Everything in it is overwritten by the next request.
#[derive(Default)]
pub(super) struct Scratch {
    /// Bytes from the client: the head, then its content, then the next request.
    pub(super) input: Buffer,
    /// How the request's content is at hand; `None` until somebody wants it.
    pub(super) upload: Option<Upload>,
    /// Content from the client, where it is apart from the head's bytes.
    pub(super) body: Buffer,
    /// Bytes from the target.
    pub(super) answer: Buffer,
    /// What goes to the target next.
    pub(super) out: Buffer,
    /// What goes to the client next.
    pub(super) reply: Buffer,
    /// How far `input` was looked through.
    pub(super) scan: Scan,
    pub(super) head: RequestHead,
    pub(super) response: ResponseHead,
    pub(super) params: Params,
    /// Words that live as long as the request: its id, its rewritten path, its query without secrets, field
    /// lines of the answer.
    pub(super) words: Words,
}

/// How the request's content is at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Upload {
    /// There is none.
    None,
    /// All of it lies behind the head: that many bytes, which can be sent again.
    Whole(usize),
    /// It is streamed; the first of it is in a buffer of its own.
    Stream,
}

/// Text made for a request.
#[derive(Default)]
pub(super) struct Words {
    pub(super) request_id: Vec<u8>,
    pub(super) path: Vec<u8>,
    pub(super) query: Vec<u8>,
    /// Referer without secrets.
    pub(super) referer: Vec<u8>,
    /// Room for the field lines that rules add to the answer.
    pub(super) answer_fields: Vec<u8>,
}

impl Scratch {
    /// Gives the buffers back to their pool; they are not kept with it.
    pub(super) fn release(&mut self) {
        self.input = Buffer::empty();
        self.body = Buffer::empty();
        self.answer = Buffer::empty();
        self.out = Buffer::empty();
        self.reply = Buffer::empty();
        self.scan = Scan::default();
        self.upload = None;
    }
}
