//! Fields become lines, in the order in which they come, each held against what HTTP/2 allows (RFC 9113
//! sections 8.2.2 and 8.3). Regular ones are a name and a value already; pseudo-header fields may be
//! anything.

use super::wrong::Wrong;
use crate::config::HttpBounds;
use crate::http::Bad;
use crate::http::bytes::{is_blank, is_token, value_end};
use crate::http::h1::encode;
use crate::http::h1::fields::{Presence, Underscores, add};
use crate::http::head::{Field, Known, Span};
use crate::http::host::parse_authority;
use crate::http::known::{HOP_BY_HOP, known};
use crate::http::upgrade::WEBSOCKET;

/// Field lines of any head, or trailers.
#[derive(Debug)]
pub(super) struct Lines<'a> {
    /// What is kept.
    pub(super) text: &'a mut Vec<u8>,
    /// Bytes of it at most.
    max: usize,
    /// What a whole message is refused for; then nothing more is kept.
    refused: Option<Bad>,
    /// What is wrong beyond that.
    wrong: Option<Wrong>,
    /// The first content-length.
    length: Option<u64>,
    lengths: u32,
}

impl<'a> Lines<'a> {
    pub(super) fn new(text: &'a mut Vec<u8>, max: usize) -> Self {
        Self { text, max, refused: None, wrong: None, length: None, lengths: 0 }
    }

    /// What content-length says, where there is one that is a number; what else is wrong with it finds
    /// who reads the lines.
    pub(super) fn length(&self) -> Option<u64> {
        self.length.filter(|_| self.lengths == 1)
    }

    /// What the fields come to.
    pub(super) fn verdict(&self) -> Result<(), Wrong> {
        match (self.wrong, self.refused) {
            (Some(wrong), _) => Err(wrong),
            (None, Some(bad)) => Err(Wrong::Bad(bad)),
            (None, None) => Ok(()),
        }
    }

    /// What no stream may be told outlives what one must not.
    pub(super) fn note(&mut self, wrong: Wrong) {
        if self.wrong != Some(Wrong::NotHttp) {
            self.wrong = Some(wrong);
        }
    }

    fn refuse(&mut self, bad: Bad) {
        self.refused.get_or_insert(bad);
    }

    /// Whether what comes is kept.
    fn keeps(&self) -> bool {
        self.refused.is_none() && self.wrong.is_none()
    }

    /// Whether a regular field is one that HTTP/2 has (section 8.2.2); notes where not.
    #[inline]
    fn checks(&mut self, known: Known, value: &[u8]) -> bool {
        let fits = !HOP_BY_HOP.contains(known) || known == Known::Te && value == b"trailers";
        if !fits {
            self.note(Wrong::Malformed);
        }
        fits
    }

    /// Takes a regular field.
    #[inline]
    pub(super) fn field(&mut self, name: &[u8], value: &[u8]) {
        let known = known(name);
        if self.checks(known, value) {
            self.push(name, known, value);
        }
    }

    /// Keeps one that was checked, if there is room.
    #[inline]
    fn push(&mut self, name: &[u8], known: Known, value: &[u8]) {
        if known == Known::ContentLength {
            self.lengths += 1;
            self.length = number(value);
        }
        if !self.keeps() {
            return;
        }
        if self.text.len() + name.len() + value.len() + 4 > self.max {
            return self.refuse(Bad::HeadTooLarge);
        }
        encode::field(self.text, name, value);
    }
}

fn number(value: &[u8]) -> Option<u64> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let digits = str::from_utf8(value).ok().filter(|_| digits)?;
    digits.parse().ok()
}

/// The pseudo-header fields of a request (RFC 9113 section 8.3.1, RFC 8441 section 4).
#[derive(Debug, Clone, Copy)]
enum Pseudo {
    Method,
    Scheme,
    Authority,
    Path,
    Protocol,
}

/// Where the values of pseudo-header fields stand, by [`Pseudo`].
type Pseudos = [Option<Span>; 5];

/// What a request asks for beside an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tunnel {
    /// Nothing.
    None,
    /// WebSocket.
    Websocket,
    /// Another protocol.
    Other,
}

/// The fields of a request, as its parser would find them in the lines.
#[derive(Debug)]
pub(super) struct Found<'a> {
    pub(super) fields: &'a mut Vec<Field>,
    pub(super) presence: Presence,
    underscores: Underscores,
    /// Whether they are all where they were when they were found.
    pub(super) whole: bool,
}

impl<'a> Found<'a> {
    fn new(fields: &'a mut Vec<Field>, underscores: Underscores) -> Self {
        fields.clear();
        Self { fields, presence: Presence::default(), underscores, whole: true }
    }

    /// A field whose line, with a name of `len` bytes, begins at `start` and ends the text.
    #[inline]
    fn add(&mut self, text: &[u8], start: usize, len: usize, known: Known) {
        let name = Span::new(start, start + len);
        let value = Span::new(start + len + 2, text.len() - encode::END.len());
        let field = Field { name, value, known, hop: HOP_BY_HOP.contains(known) };
        add(text, field, self.underscores, &mut self.presence, self.fields);
    }
}

/// A request's lines.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) lines: Lines<'a>,
    pub(super) found: Found<'a>,
    bounds: &'a HttpBounds,
    /// At the front of the text, one behind the other, until the request line is written.
    pseudos: Pseudos,
    begun: bool,
    pub(super) tunnel: Tunnel,
    fields: usize,
    hosts: u32,
    /// In the line that stands for Host, if the request has an authority; and the port that is meant
    /// where none is written.
    authority: Option<(Span, u16)>,
    /// The line with all crumbs of the cookie so far, its end included.
    cookie: Option<(usize, usize)>,
}

impl<'a> Request<'a> {
    /// Its lines go to `text`, and where its fields stand there to `fields`.
    pub(super) fn new(
        text: &'a mut Vec<u8>,
        fields: &'a mut Vec<Field>,
        bounds: &'a HttpBounds,
    ) -> Self {
        Self {
            lines: Lines::new(text, bounds.max_head),
            found: Found::new(fields, Underscores::of(bounds)),
            bounds,
            pseudos: [None; 5],
            begun: false,
            tunnel: Tunnel::None,
            fields: 0,
            hosts: 0,
            authority: None,
            cookie: None,
        }
    }

    /// Takes a field.
    #[inline]
    pub(super) fn take(&mut self, name: &[u8], value: &[u8]) {
        if name.first() == Some(&b':') {
            return self.take_pseudo(name, value);
        }
        if !self.begun {
            self.begin();
        }
        let known = known(name);
        if !self.lines.checks(known, value) {
            return;
        }
        self.fields += 1;
        if self.fields > self.bounds.max_fields {
            self.lines.refuse(Bad::TooManyFields);
        }
        // Lines would lose them, and HTTP/2 does not allow them (section 8.2.1).
        if value.first().is_some_and(|b| is_blank(*b)) || value.last().is_some_and(|b| is_blank(*b))
        {
            self.lines.refuse(Bad::BlankAroundValue);
        }
        match known {
            Known::Host => self.take_host(name, value),
            Known::Cookie => self.take_cookie(name, value),
            Known::Other if self.tunnel != Tunnel::None && name == b"sec-websocket-key" => {
                self.lines.refuse(Bad::BadWebsocketKey);
            }
            _ => self.push(name, known, value),
        }
    }

    #[inline]
    fn push(&mut self, name: &[u8], known: Known, value: &[u8]) {
        let start = self.lines.text.len();
        self.lines.push(name, known, value);
        if !self.lines.keeps() {
            return;
        }
        if self.found.fields.len() == self.bounds.max_fields {
            return self.lines.refuse(Bad::TooManyFields);
        }
        self.found.add(self.lines.text, start, name.len(), known);
    }

    /// Ends the block.
    pub(super) fn end(&mut self) {
        if !self.begun {
            self.begin();
        }
    }

    fn take_pseudo(&mut self, name: &[u8], value: &[u8]) {
        let pseudo = match name {
            b":method" => Pseudo::Method,
            b":scheme" => Pseudo::Scheme,
            b":authority" => Pseudo::Authority,
            b":path" => Pseudo::Path,
            b":protocol" => Pseudo::Protocol,
            b":status" => return self.lines.note(Wrong::Malformed),
            _ => return self.lines.note(Wrong::NotHttp),
        };
        let place = &mut self.pseudos[pseudo as usize];
        if self.begun || place.is_some() {
            return self.lines.note(Wrong::Malformed);
        }
        if let Err(wrong) = check_pseudo(pseudo, value) {
            return self.lines.note(wrong);
        }
        let start = self.lines.text.len();
        *place = Some(Span::new(start, start));
        if matches!(pseudo, Pseudo::Path) && value.len() > self.bounds.max_uri {
            self.lines.refuse(Bad::UriTooLong);
        } else if start + value.len() > self.lines.max {
            self.lines.refuse(Bad::HeadTooLarge);
        }
        if self.lines.keeps() {
            *place = Some(Span::new(start, start + value.len()));
            self.lines.text.extend_from_slice(value);
        }
    }

    /// Writes the request line, and what else the pseudo-header fields say, in their place.
    fn begin(&mut self) {
        self.begun = true;
        if self.lines.wrong.is_some() {
            return;
        }
        if let Err(wrong) = self.check_pseudos() {
            return self.lines.note(wrong);
        }
        if self.lines.keeps()
            && let Err(bad) = self.write_pseudos()
        {
            self.lines.refuse(bad);
        }
    }

    fn pseudo(&self, pseudo: Pseudo) -> Option<&[u8]> {
        self.pseudos[pseudo as usize].map(|span| span.of(self.lines.text))
    }

    /// Which of them there must be, and must not (section 8.3.1, 8.5, RFC 8441 section 4).
    fn check_pseudos(&self) -> Result<(), Wrong> {
        let has = |pseudo: Pseudo| self.pseudos[pseudo as usize].is_some();
        let connect = self.pseudo(Pseudo::Method) == Some(b"CONNECT");
        let (extended, located) = (has(Pseudo::Protocol), [has(Pseudo::Scheme), has(Pseudo::Path)]);
        let fits = match (connect, extended) {
            (false, true) => false,
            (true, false) => located == [false, false],
            _ => located == [true, true],
        };
        // Of those that were too long to be kept nothing more can be said.
        match has(Pseudo::Method) && (fits || self.lines.refused.is_some()) {
            true => Ok(()),
            false => Err(Wrong::Malformed),
        }
    }

    fn write_pseudos(&mut self) -> Result<(), Bad> {
        let [method, scheme, authority, path, protocol] = self.pseudos;
        let text = &mut *self.lines.text;
        let raw = text.len();
        let target = match path {
            Some(path) => path,
            None => authority.ok_or(Bad::BadConnectTarget)?,
        };
        let default_port = match scheme.map(|scheme| scheme.of(text)) {
            Some(scheme) if scheme.eq_ignore_ascii_case(b"https") => 443,
            Some(scheme) if scheme.eq_ignore_ascii_case(b"http") => 80,
            Some(_) => return Err(Bad::BadScheme),
            None => {
                let named = parse_authority(target.of(text)).map_err(|_| Bad::BadConnectTarget)?;
                named.port.ok_or(Bad::BadConnectTarget)?
            }
        };
        if path.is_some_and(|path| !matches!(path.of(text), [b'/', ..] | b"*")) {
            return Err(Bad::BadTargetForm);
        }
        match (protocol, method) {
            (None, Some(method)) => copy(text, method),
            _ => text.extend_from_slice(b"GET"),
        }
        text.push(b' ');
        copy(text, target);
        text.extend_from_slice(b" HTTP/1.1\r\n");
        if let Some(authority) = authority {
            text.extend_from_slice(b"host: ");
            let start = text.len() - raw;
            copy(text, authority);
            self.authority = Some((Span::new(start, text.len() - raw), default_port));
            text.extend_from_slice(encode::END);
        }
        if let Some(protocol) = protocol {
            self.tunnel = upgrade(text, protocol)?;
            self.found.whole = false;
        }
        text.drain(..raw);
        if let Some((authority, _)) = self.authority {
            let name = b"host".len();
            let start = authority.start as usize - name - 2;
            let line = &text[..authority.end as usize + encode::END.len()];
            self.found.add(line, start, name, Known::Host);
        }
        Ok(())
    }

    /// Host must agree with the authority, which stands for it (section 8.3.1).
    fn take_host(&mut self, name: &[u8], value: &[u8]) {
        self.hosts += 1;
        match self.authority {
            None => self.push(name, Known::Host, value),
            _ if !self.lines.keeps() => {}
            Some(_) if self.hosts > 1 => self.lines.refuse(Bad::RepeatedHost),
            Some((authority, default_port)) => {
                if let Err(bad) = agree(authority.of(self.lines.text), value, default_port) {
                    self.lines.refuse(bad);
                }
            }
        }
    }

    /// Crumbs of a cookie are one field again: an HTTP/1.1 server may look at one only (section 8.2.3).
    fn take_cookie(&mut self, name: &[u8], value: &[u8]) {
        let start = self.lines.text.len();
        let Some((from, to)) = self.cookie.filter(|_| self.lines.keeps()) else {
            self.push(name, Known::Cookie, value);
            self.cookie = self.lines.keeps().then_some((start, self.lines.text.len()));
            return;
        };
        if start + value.len() + 2 > self.lines.max {
            return self.lines.refuse(Bad::HeadTooLarge);
        }
        self.found.whole = false;
        // Most often it is the last line already.
        let text = &mut *self.lines.text;
        text[from..].rotate_left(to - from);
        text.truncate(start - 2);
        for part in [b"; ", value, encode::END] {
            text.extend_from_slice(part);
        }
        self.cookie = Some((start - (to - from), text.len()));
    }
}

fn copy(text: &mut Vec<u8>, span: Span) {
    text.extend_from_within(span.start as usize..span.end as usize);
}

/// Writes the switch to a protocol.
fn upgrade(text: &mut Vec<u8>, protocol: Span) -> Result<Tunnel, Bad> {
    let protocol = protocol.of(text).to_vec();
    let named = str::from_utf8(&protocol).ok().filter(|name| is_token(name.as_bytes()));
    let named = named.ok_or(Bad::BadConnectTarget)?;
    encode::upgrade(text, named);
    let websocket = named.eq_ignore_ascii_case(WEBSOCKET);
    Ok(if websocket { Tunnel::Websocket } else { Tunnel::Other })
}

/// By which bytes a value is none that a line could hold.
fn check_pseudo(pseudo: Pseudo, value: &[u8]) -> Result<(), Wrong> {
    let fits = match pseudo {
        Pseudo::Method if is_token(value) => return Ok(()),
        Pseudo::Method => return Err(Wrong::NotHttp),
        Pseudo::Authority | Pseudo::Scheme => value.iter().all(u8::is_ascii_graphic),
        // The parser says what else may not stand in it.
        Pseudo::Path => !value.is_empty() && value.iter().all(|b| *b > b' ' && *b != 0x7f),
        Pseudo::Protocol => value_end(value, 0) == value.len(),
    };
    if fits { Ok(()) } else { Err(Wrong::Malformed) }
}

fn agree(authority: &[u8], host: &[u8], default_port: u16) -> Result<(), Bad> {
    let (one, other) = (parse_authority(authority)?, parse_authority(host)?);
    let alike = authority[..one.host_len].eq_ignore_ascii_case(&host[..other.host_len]);
    let port = |port: Option<u16>| port.unwrap_or(default_port);
    match alike && port(one.port) == port(other.port) {
        true => Ok(()),
        false => Err(Bad::HostMismatch),
    }
}

/// An answer's lines.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    pub(super) lines: Lines<'a>,
    pub(super) status: Option<u16>,
    begun: bool,
}

impl<'a> Answer<'a> {
    pub(super) fn new(lines: Lines<'a>) -> Self {
        Self { lines, status: None, begun: false }
    }

    /// Takes a field.
    #[inline]
    pub(super) fn take(&mut self, name: &[u8], value: &[u8]) {
        match name {
            b":status" => self.take_status(value),
            [b':', ..] => self.lines.note(match name {
                b":method" | b":scheme" | b":authority" | b":path" | b":protocol" => {
                    Wrong::Malformed
                }
                _ => Wrong::NotHttp,
            }),
            _ => {
                self.begun = true;
                self.lines.field(name, value);
            }
        }
    }

    /// Ends the block; gives the status.
    pub(super) fn end(&mut self) -> Result<u16, Wrong> {
        if self.status.is_none() {
            self.lines.note(Wrong::Malformed);
        }
        self.lines.verdict()?;
        self.status.ok_or(Wrong::Malformed)
    }

    fn take_status(&mut self, value: &[u8]) {
        let [b'1'..=b'9', b'0'..=b'9', b'0'..=b'9'] = value else {
            return self.lines.note(Wrong::NotHttp);
        };
        if self.begun || self.status.is_some() {
            return self.lines.note(Wrong::Malformed);
        }
        self.status = Some(value.iter().fold(0, |n, digit| n * 10 + u16::from(digit - b'0')));
        if self.lines.keeps() {
            for part in [b"HTTP/1.1 ", value, b" \r\n"] {
                self.lines.text.extend_from_slice(part);
            }
        }
    }
}
