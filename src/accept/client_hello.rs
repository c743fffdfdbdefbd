//! The first message of TLS, in which a client names the server that it wants (SNI).
//!
//! Pure, and no more of TLS than that takes: records (RFC 8446 section 5.1), the ClientHello that
//! lies in one or more of them (section 4.1.2), and in it the server's name (RFC 6066 section 3).
//! Invariants:
//! - A message has one reading or none: what does not fit its lengths exactly is refused.
//! - Any cut of the bytes comes to the same verdict, and no byte behind the message is looked at.

use crate::limits::CLIENT_HELLO_MAX;

/// A whole ClientHello.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientHello {
    /// The server that is asked for, in lower case; `None` where the client names none.
    pub server_name: Option<Box<str>>,
}

/// Why bytes are no ClientHello.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bad {
    /// They begin as no record of TLS does.
    NotTls,
    /// A record that no handshake begins with, or of a length that none has.
    Record,
    /// The first message is another, or does not end with its record.
    Message,
    /// Longer than any that is taken.
    TooLong,
    /// Its parts do not fill it.
    Parts,
    /// An extension stands there twice.
    Twice,
    /// The server's name is none of DNS, or there are several.
    Name,
}

impl Bad {
    /// For the log.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotTls => "no TLS",
            Self::Record => "a bad record",
            Self::Message => "another message than a ClientHello",
            Self::TooLong => "a ClientHello that is too long",
            Self::Parts => "a ClientHello whose parts do not fill it",
            Self::Twice => "an extension that stands there twice",
            Self::Name => "a bad server name",
        }
    }
}

/// Content type of records (RFC 8446 section 5.1).
const HANDSHAKE: u8 = 22;
/// Type of the message (RFC 8446 section 4).
const CLIENT_HELLO: u8 = 1;
/// Bytes of a message's type and length.
const MESSAGE_HEAD: usize = 4;
/// Most content that a record may have (RFC 8446 section 5.1).
const RECORD_MAX: usize = 1 << 14;
/// Number of the extension (RFC 6066 section 3), and the one type of name there is in it.
const SERVER_NAME: u16 = 0;
const HOST_NAME: u8 = 0;

/// Reads the message at the front of `bytes`; `None` where more of it is to come.
///
/// # Errors
/// Where the bytes are no ClientHello; more of them would not make them one.
pub fn parse(bytes: &[u8]) -> Result<Option<ClientHello>, Bad> {
    let bytes = &bytes[..bytes.len().min(CLIENT_HELLO_MAX)];
    let mut message = Vec::new();
    let mut rest = bytes;
    while let Some(record) = record(rest)? {
        message.extend_from_slice(record.content);
        match announced(&message)? {
            Some(len) if message.len() + record.to_come > len => return Err(Bad::Message),
            Some(len) if message.len() == len => {
                return hello(&message[MESSAGE_HEAD..]).map(Some);
            }
            _ => rest = record.behind,
        }
    }
    if bytes.len() == CLIENT_HELLO_MAX { Err(Bad::TooLong) } else { Ok(None) }
}

/// A record that has begun.
struct Record<'a> {
    /// What has come of its content.
    content: &'a [u8],
    /// Bytes of it that have not.
    to_come: usize,
    /// What came behind it.
    behind: &'a [u8],
}

/// The first record. `None` where its head is not whole, or nothing of its content has come.
fn record(bytes: &[u8]) -> Result<Option<Record<'_>>, Bad> {
    match bytes {
        [kind, ..] if *kind != HANDSHAKE => return Err(Bad::NotTls),
        [_, major, ..] if *major != 3 => return Err(Bad::NotTls),
        _ => {}
    }
    let [_, _, minor, high, low, content @ ..] = bytes else { return Ok(None) };
    let len = usize::from(u16::from_be_bytes([*high, *low]));
    // 3.1 for the oldest servers, 3.3 else; 3.0 was SSL.
    if *minor > 4 || len == 0 || len > RECORD_MAX {
        return Err(Bad::Record);
    }
    let (content, behind) = content.split_at(len.min(content.len()));
    let record = Record { content, to_come: len - content.len(), behind };
    Ok((!content.is_empty()).then_some(record))
}

/// The length of the message, its head included, once that is known.
fn announced(message: &[u8]) -> Result<Option<usize>, Bad> {
    match message {
        [kind, ..] if *kind != CLIENT_HELLO => Err(Bad::Message),
        [_, high, middle, low, ..] => {
            let len = u32::from_be_bytes([0, *high, *middle, *low]) as usize + MESSAGE_HEAD;
            if len > CLIENT_HELLO_MAX { Err(Bad::TooLong) } else { Ok(Some(len)) }
        }
        _ => Ok(None),
    }
}

/// RFC 8446 section 4.1.2, RFC 5246 section 7.4.1.2.
fn hello(body: &[u8]) -> Result<ClientHello, Bad> {
    let mut body = Parts(body);
    body.take(2 + 32)?;
    let session = body.vector(1)?;
    let ciphers = body.vector(2)?;
    let compressions = body.vector(1)?;
    let odd = session.len() > 32 || ciphers.len() < 2 || ciphers.len() % 2 == 1;
    if odd || compressions.is_empty() {
        return Err(Bad::Parts);
    }
    // Before TLS 1.3 there need be no extensions.
    if body.0.is_empty() {
        return Ok(ClientHello { server_name: None });
    }
    let extensions = Parts(body.vector(2)?);
    if !body.0.is_empty() {
        return Err(Bad::Parts);
    }
    Ok(ClientHello { server_name: server_name(extensions)? })
}

/// The name among the extensions, all of which are walked over.
fn server_name(mut extensions: Parts<'_>) -> Result<Option<Box<str>>, Bad> {
    let mut found = None;
    let mut seen = Seen::default();
    while !extensions.0.is_empty() {
        let kind = extensions.number(2)? as u16;
        let content = extensions.vector(2)?;
        if !seen.first(kind) {
            return Err(Bad::Twice);
        }
        if kind == SERVER_NAME {
            found = Some(host_name(Parts(content))?);
        }
    }
    Ok(found)
}

/// Extensions that came already: a bit for each number there is.
struct Seen([u64; 1 << 10]);

impl Default for Seen {
    fn default() -> Self {
        Self([0; 1 << 10])
    }
}

impl Seen {
    fn first(&mut self, kind: u16) -> bool {
        let (word, bit) = (usize::from(kind >> 6), 1 << (kind & 63));
        let first = self.0[word] & bit == 0;
        self.0[word] |= bit;
        first
    }
}

fn host_name(mut content: Parts<'_>) -> Result<Box<str>, Bad> {
    let mut list = Parts(content.vector(2)?);
    let kind = list.number(1)?;
    let name = list.vector(2)?;
    if !content.0.is_empty() {
        return Err(Bad::Parts);
    }
    if kind != u32::from(HOST_NAME) || !list.0.is_empty() || !is_name(name) {
        return Err(Bad::Name);
    }
    let text = str::from_utf8(name).map_err(|_| Bad::Name)?;
    Ok(text.to_ascii_lowercase().into())
}

/// A name of DNS without a final dot.
fn is_name(name: &[u8]) -> bool {
    let letter = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let label = |label: &[u8]| (1..=63).contains(&label.len()) && label.iter().all(letter);
    name.len() <= 253 && name.split(|byte| *byte == b'.').all(label)
}

/// What is left of a message's parts.
struct Parts<'a>(&'a [u8]);

impl<'a> Parts<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Bad> {
        let (part, rest) = self.0.split_at_checked(len).ok_or(Bad::Parts)?;
        self.0 = rest;
        Ok(part)
    }

    /// A number of one or two bytes.
    fn number(&mut self, bytes: usize) -> Result<u32, Bad> {
        Ok(self.take(bytes)?.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
    }

    /// A part behind its length, which has so many bytes.
    fn vector(&mut self, length: usize) -> Result<&'a [u8], Bad> {
        let len = self.number(length)?;
        self.take(len as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn vector(length: usize, content: &[u8]) -> Vec<u8> {
        let len = (content.len() as u32).to_be_bytes();
        [&len[4 - length..], content].concat()
    }

    fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &vector(2, content)].concat()
    }

    fn named(name: &[u8]) -> Vec<u8> {
        extension(SERVER_NAME, &vector(2, &[&[HOST_NAME][..], &vector(2, name)].concat()))
    }

    fn body(extensions: &[u8]) -> Vec<u8> {
        let ciphers = vector(2, &[0x13, 0x01]);
        [&[3, 3][..], &[7; 32], &vector(1, &[9; 32]), &ciphers, &[1, 0], extensions].concat()
    }

    fn message(extensions: &[u8]) -> Vec<u8> {
        [&[CLIENT_HELLO][..], &vector(3, &body(&vector(2, extensions)))].concat()
    }

    /// The message in records of at most that much content.
    fn records(message: &[u8], most: usize) -> Vec<u8> {
        message.chunks(most).flat_map(|part| [&[22, 3, 1][..], &vector(2, part)].concat()).collect()
    }

    fn name_in(extensions: &[u8]) -> Result<Option<Box<str>>, Bad> {
        let parsed = parse(&records(&message(extensions), RECORD_MAX))?;
        Ok(parsed.expect("a whole message").server_name)
    }

    #[test]
    fn the_name_is_found_among_extensions() {
        let others = [extension(43, &[2, 3, 4]), named(b"Db.Example.com"), extension(16, &[])];
        assert_eq!(name_in(&others.concat()), Ok(Some("db.example.com".into())));
        assert_eq!(name_in(&extension(43, &[2, 3, 4])), Ok(None));
        assert_eq!(name_in(&[]), Ok(None));
    }

    #[test]
    fn extensions_need_not_be_there() {
        let old = [&[CLIENT_HELLO][..], &vector(3, &body(&[]))].concat();
        assert_eq!(parse(&records(&old, 100)), Ok(Some(ClientHello { server_name: None })));
    }

    #[test]
    fn a_message_may_lie_in_many_records() {
        let message = message(&named(b"a.b"));
        for most in [1, 3, 50, RECORD_MAX] {
            let mut bytes = records(&message, most);
            assert_eq!(parse(&bytes[..bytes.len() - 1]), Ok(None));
            bytes.extend_from_slice(b"what comes behind is nobody's business");
            let hello = parse(&bytes).expect("a hello").expect("a whole one");
            assert_eq!(hello.server_name.as_deref(), Some("a.b"));
        }
    }

    #[test]
    fn what_is_no_tls_is_known_by_its_first_bytes() {
        for bytes in [&b"G"[..], b"SSH-2.0", &[22, 2], &[0x80, 0x2e, 1], &[21, 3, 1]] {
            assert_eq!(parse(bytes), Err(Bad::NotTls), "{bytes:?}");
        }
        for bytes in [&[22, 3, 9, 0, 5][..], &[22, 3, 1, 0, 0], &[22, 3, 1, 0x40, 1]] {
            assert_eq!(parse(bytes), Err(Bad::Record), "{bytes:?}");
        }
        assert_eq!(parse(&[22, 3, 1, 0, 4, 2]), Err(Bad::Message));
    }

    #[test]
    fn a_message_ends_with_its_record() {
        let twice = [message(&[]), message(&[])].concat();
        assert_eq!(parse(&records(&twice, RECORD_MAX)), Err(Bad::Message));
    }

    #[test]
    fn long_messages_are_refused_before_they_are_there() {
        assert_eq!(parse(&[22, 3, 1, 0x40, 0, 1, 0, 0x40, 0]), Err(Bad::TooLong));
        // Tiny records make more of a message than it is.
        let bytes = records(&message(&extension(21, &[0; 8000])), 1);
        assert_eq!(parse(&bytes[..CLIENT_HELLO_MAX - 1]), Ok(None));
        assert_eq!(parse(&bytes[..CLIENT_HELLO_MAX]), Err(Bad::TooLong));
        assert_eq!(parse(&bytes), Err(Bad::TooLong));
    }

    #[test]
    fn parts_fill_the_message_exactly() {
        let whole = [&[CLIENT_HELLO][..], &vector(3, &body(&[0, 0, 0]))].concat();
        assert_eq!(parse(&records(&whole, 500)), Err(Bad::Parts));
        assert_eq!(name_in(&[0, 5, 0]), Err(Bad::Parts));
        assert_eq!(name_in(&[0, 5, 0, 1]), Err(Bad::Parts));
        assert_eq!(name_in(&extension(SERVER_NAME, &[0, 9, 0, 0, 1, b'a'])), Err(Bad::Parts));
        assert_eq!(name_in(&extension(SERVER_NAME, &[])), Err(Bad::Parts));
    }

    #[test]
    fn one_name_of_dns() {
        let long = [&b"a".repeat(63)[..], b"."].concat().repeat(4);
        for name in [&b""[..], b".", b"a.", b"a..b", b"a b", b"\xc3\xa4.b", b"a\0", &long] {
            assert_eq!(name_in(&named(name)), Err(Bad::Name), "{name:?}");
        }
        let one = [&[HOST_NAME][..], &vector(2, b"a")].concat();
        let two = extension(SERVER_NAME, &vector(2, &[&one[..], &one].concat()));
        assert_eq!(name_in(&two), Err(Bad::Name));
        let other = extension(SERVER_NAME, &vector(2, &[1, 0, 1, b'a']));
        assert_eq!(name_in(&other), Err(Bad::Name));
        assert_eq!(name_in(&[named(b"a"), named(b"b")].concat()), Err(Bad::Twice));
        assert_eq!(name_in(&[extension(7, b""), extension(7, b"")].concat()), Err(Bad::Twice));
    }

    proptest! {
        #[test]
        fn any_cut_comes_to_the_same_verdict(
            mut message in prop_oneof![
                Just(message(&named(b"a.example"))),
                Just(message(&[extension(9, b"x"), named(b"b")].concat())),
                Just([message(&named(b"a.example")), vec![0; 3]].concat()),
                prop::collection::vec(any::<u8>(), 1..200),
            ],
            most in 1usize..80,
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        ) {
            for (at, byte) in changes {
                let at = at.index(message.len());
                message[at] = byte;
            }
            let bytes = records(&message, most);
            let verdict = parse(&bytes);
            let first = (0..=bytes.len()).map(|cut| parse(&bytes[..cut])).find(|v| *v != Ok(None));
            prop_assert_eq!(first.unwrap_or(Ok(None)), verdict);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
            let _ = parse(&[&[22, 3, 1][..], &vector(2, &bytes)].concat());
            let _ = parse(&records(&[&[1][..], &vector(3, &bytes)].concat(), 40));
        }
    }
}
