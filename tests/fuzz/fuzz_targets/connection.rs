//! A connection's bytes: any cut into reads gives the same requests, and the same end.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate::config::{EncodedSlash, HttpBounds};
use tollgate::http::h1::{BodyReader, Scan, parse_request};
use tollgate::http::{Bad, Framing, RequestHead, TargetForm};

const BOUNDS: HttpBounds = HttpBounds {
    max_head: 1024,
    max_fields: 32,
    max_uri: 512,
    max_chunk_extension: 32,
    encoded_slash: EncodedSlash::Decode,
    underscores_in_headers: false,
};

type Lines = Vec<(Vec<u8>, Vec<u8>)>;

/// What a server would know of one request.
#[derive(Debug, Default, PartialEq)]
struct Request {
    method: Vec<u8>,
    host: Vec<u8>,
    path: Vec<u8>,
    query: Option<Vec<u8>>,
    fields: Lines,
    framing: Framing,
    content: Vec<u8>,
    /// The content came whole.
    whole: bool,
    trailers: Lines,
}

/// How a connection ended.
#[derive(Debug, PartialEq)]
enum End {
    /// By a request that is none.
    Refused(Bad),
    /// As one side wanted, or because nothing more can be asked on it.
    Closed,
    /// In silence.
    Open,
}

/// A connection whose bytes come in pieces.
struct Connection<'a, I> {
    text: &'a [u8],
    pieces: I,
    /// What was read and not yet dealt with.
    input: Vec<u8>,
}

impl<I: Iterator<Item = usize>> Connection<'_, I> {
    /// Reads one piece more; false at the end.
    fn read(&mut self) -> bool {
        let n = self.pieces.next().unwrap_or(1).clamp(1, self.text.len().max(1));
        let (piece, rest) = self.text.split_at(n.min(self.text.len()));
        self.text = rest;
        self.input.extend_from_slice(piece);
        !piece.is_empty()
    }

    fn head(&mut self, head: &mut RequestHead) -> Result<bool, Bad> {
        let mut scan = Scan::default();
        loop {
            if !self.input.is_empty() && parse_request(&mut self.input, &mut scan, &BOUNDS, head)? {
                return Ok(true);
            }
            if !self.read() {
                return Ok(false);
            }
        }
    }

    fn content(&mut self, framing: Framing, request: &mut Request) -> Result<(), Bad> {
        let mut reader = BodyReader::new(framing, BOUNDS.max_chunk_extension);
        loop {
            let decoded = reader.decode(&mut self.input)?;
            assert!(decoded.data <= decoded.consumed && decoded.consumed <= self.input.len());
            assert!(decoded.done || decoded.consumed == self.input.len());
            request.content.extend_from_slice(&self.input[..decoded.data]);
            self.input.drain(..decoded.consumed);
            if decoded.done {
                request.whole = true;
                let (fields, buf) = reader.trailers();
                let line =
                    |f: &tollgate::http::Field| (f.name.of(buf).into(), f.value.of(buf).into());
                request.trailers = fields.iter().map(line).collect();
                return Ok(());
            }
            if !self.read() {
                return Ok(());
            }
        }
    }

    /// Takes requests to the connection's end.
    fn serve(mut self) -> (Vec<Request>, End) {
        let (mut requests, mut head) = (Vec::new(), RequestHead::default());
        let end = loop {
            match self.head(&mut head) {
                Ok(true) => {}
                Ok(false) => break End::Open,
                Err(bad) => break End::Refused(bad),
            }
            assert!(head.len <= BOUNDS.max_head && head.len <= self.input.len());
            let mut request = said(&head, &self.input[..head.len]);
            self.input.drain(..head.len);
            let content = self.content(head.framing, &mut request);
            let whole = request.whole;
            requests.push(request);
            match content {
                Err(bad) => break End::Refused(bad),
                Ok(()) if !whole => break End::Open,
                Ok(()) if !head.keep_alive || head.form == TargetForm::Authority => {
                    break End::Closed;
                }
                Ok(()) => {}
            }
        };
        (requests, end)
    }
}

fn said(head: &RequestHead, buf: &[u8]) -> Request {
    let fields = head.fields.iter();
    Request {
        method: head.method_span.of(buf).into(),
        host: head.host.of(buf).into(),
        path: head.path.of(buf).into(),
        query: head.query.map(|q| q.of(buf).into()),
        fields: fields.map(|f| (f.name.of(buf).into(), f.value.of(buf).into())).collect(),
        framing: head.framing,
        ..Request::default()
    }
}

fn served(text: &[u8], pieces: impl Iterator<Item = usize>) -> (Vec<Request>, End) {
    Connection { text, pieces, input: Vec::new() }.serve()
}

fuzz_target!(|data: &[u8]| {
    let Some((count, rest)) = data.split_first() else { return };
    let (cuts, text) = rest.split_at(usize::from(*count % 16).min(rest.len()));
    // Ends any head, so that a trickle comes to a verdict too.
    let text = [text, b"\r\n\r\n"].concat();
    let whole = served(&text, std::iter::repeat(text.len()));
    assert_eq!(served(&text, std::iter::repeat(1)), whole);
    assert_eq!(served(&text, cuts.iter().cycle().map(|cut| usize::from(*cut))), whole);
    let content: usize = whole.0.iter().map(|request| request.content.len()).sum();
    assert!(content <= text.len());
});
