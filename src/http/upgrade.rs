//! Switching protocols (RFC 9110 section 7.8), and what WebSocket demands of it (RFC 6455 section
//! 4): what a request asks for, and whether an answer grants just that.
//!
//! Behind a 101 both sides stop speaking HTTP. Were one of them not to think so, what the other
//! sends would be read as messages that no rule has seen; so both heads are checked to the letter.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Bad;
use super::bytes::{is_token, trimmed};
use super::head::{
    Field, Framing, Known, Method, RequestHead, ResponseHead, TargetForm, Version, values,
};

/// The protocol of RFC 6455, whose handshake is checked beyond the switch itself.
pub const WEBSOCKET: &str = "websocket";

/// Follows the key where the answer to it is made (RFC 6455 section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Bytes of a key: 16 in base64.
const KEY: usize = 24;

/// The protocol that a request asks to switch to, as it wrote it.
///
/// Only a GET of HTTP/1.1 without content asks (or what an extended CONNECT is read as), with one
/// protocol in one Upgrade field that its Connection field names, on a connection it wants kept. Any
/// other Upgrade is a wish that may be overlooked, and is.
#[inline]
pub fn asked<'b>(head: &RequestHead, buf: &'b [u8]) -> Option<&'b [u8]> {
    if head.upgrade { asked_fully(head, buf) } else { None }
}

#[cold]
fn asked_fully<'b>(head: &RequestHead, buf: &'b [u8]) -> Option<&'b [u8]> {
    let plain = head.method == Method::Get
        && head.version != Version::Http10
        && head.keep_alive
        && matches!(head.framing, Framing::None | Framing::Length(0))
        && matches!(head.form, TargetForm::Origin | TargetForm::Absolute);
    let named = plain && connection_names_it(&head.fields, buf);
    if named { protocol(&head.fields, buf) } else { None }
}

/// Checks what a request for WebSocket must bring (RFC 6455 section 4.2.1).
///
/// # Errors
/// The version is missing, repeated or another; or the key is missing, repeated or malformed.
pub fn check_websocket(head: &RequestHead, buf: &[u8]) -> Result<(), Bad> {
    match only(&head.fields, buf, b"sec-websocket-version") {
        Some(b"13") => {}
        Some(_) => return Err(Bad::OtherWebsocketVersion),
        None => return Err(Bad::BadWebsocketVersion),
    }
    match only(&head.fields, buf, b"sec-websocket-key") {
        Some(key) if is_key(key) => Ok(()),
        _ => Err(Bad::BadWebsocketKey),
    }
}

/// Checks a 101 against the request that asked for `protocol` (RFC 9110 section 15.2.2, RFC 6455
/// section 4.1).
///
/// # Errors
/// It switches to something else, or does not say so; or it does not answer the request's key; or
/// it chose a subprotocol that was not offered.
pub fn check_answer(
    protocol: &str,
    (request, request_buf): (&RequestHead, &[u8]),
    (response, buf): (&ResponseHead, &[u8]),
) -> Result<(), Bad> {
    let switches = response.version != Version::Http10
        && connection_names_it(&response.fields, buf)
        && self::protocol(&response.fields, buf)
            .is_some_and(|granted| granted.eq_ignore_ascii_case(protocol.as_bytes()));
    if !switches {
        return Err(Bad::BadUpgrade);
    }
    if protocol != WEBSOCKET {
        return Ok(());
    }
    let key = only(&request.fields, request_buf, b"sec-websocket-key");
    let accepted = only(&response.fields, buf, b"sec-websocket-accept");
    if key.is_none() || accepted != key.map(accept).as_deref().map(str::as_bytes) {
        return Err(Bad::BadWebsocketAccept);
    }
    const CHOSEN: &[u8] = b"sec-websocket-protocol";
    if values(&response.fields, buf, CHOSEN).next().is_none() {
        return Ok(());
    }
    let offered = |chosen: &[u8]| {
        let mut lists = values(&request.fields, request_buf, CHOSEN);
        is_token(chosen) && lists.any(|list| elements(list).any(|offered| offered == chosen))
    };
    match only(&response.fields, buf, CHOSEN) {
        Some(chosen) if offered(chosen) => Ok(()),
        _ => Err(Bad::BadWebsocketProtocol),
    }
}

/// What answers the key of a request, where it has one.
pub fn answer_to(request: &RequestHead, buf: &[u8]) -> Option<String> {
    only(&request.fields, buf, b"sec-websocket-key").map(accept)
}

/// The answer to a key (RFC 6455 section 4.2.2).
fn accept(key: &[u8]) -> String {
    let text = [key, GUID].concat();
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &text))
}

/// 16 bytes in base64. The bits that the last digit has too many are not looked at: some clients
/// draw all 22 digits, and nobody decodes them.
fn is_key(key: &[u8]) -> bool {
    let digit = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    key.len() == KEY && key[..KEY - 2].iter().all(digit) && key.ends_with(b"==")
}

/// The one protocol that the one Upgrade field names.
fn protocol<'b>(fields: &[Field], buf: &'b [u8]) -> Option<&'b [u8]> {
    let mut upgrades = fields.iter().filter(|f| f.known == Known::Upgrade);
    let value = upgrades.next()?.value.of(buf);
    (upgrades.next().is_none() && is_token(value)).then_some(value)
}

/// Whether Connection has the option `upgrade`.
fn connection_names_it(fields: &[Field], buf: &[u8]) -> bool {
    let mut connections = fields.iter().filter(|f| f.known == Known::Connection);
    connections.any(|f| elements(f.value.of(buf)).any(|o| o.eq_ignore_ascii_case(b"upgrade")))
}

/// The value of the only field of that name.
fn only<'b>(fields: &'b [Field], buf: &'b [u8], name: &'static [u8]) -> Option<&'b [u8]> {
    let mut all = values(fields, buf, name);
    all.next().filter(|_| all.next().is_none())
}

fn elements(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|b| *b == b',').map(trimmed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{EncodedSlash, HttpBounds};
    use crate::http::h1::{Asked, Scan, parse_request, parse_response};

    const KEY_FIELD: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    const ACCEPT_FIELD: &str = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
    const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket";

    fn request(text: &str) -> (RequestHead, Vec<u8>) {
        let bounds = HttpBounds {
            max_head: 4096,
            max_fields: 50,
            max_uri: 100,
            max_chunk_extension: 10,
            encoded_slash: EncodedSlash::Keep,
            underscores_in_headers: false,
        };
        let mut buf = format!("{text}\r\nHost: a\r\n\r\n").into_bytes();
        let mut head = RequestHead::default();
        let parsed = parse_request(&mut buf, &mut Scan::default(), &bounds, &mut head);
        assert_eq!(parsed, Ok(true), "{text}");
        (head, buf)
    }

    fn response(fields: &str) -> Result<(ResponseHead, Vec<u8>), Bad> {
        let mut buf = format!("HTTP/1.1 101 Switching\r\n{fields}\r\n\r\n").into_bytes();
        let mut head = ResponseHead::default();
        let to = Asked { method: Method::Get, upgrade: true };
        parse_response(&mut buf, &mut Scan::default(), 4096, to, &mut head)?;
        Ok((head, buf))
    }

    fn asks(text: &str) -> Option<String> {
        let (head, buf) = request(text);
        asked(&head, &buf).map(|p| String::from_utf8_lossy(p).into_owned())
    }

    fn websocket(fields: &str) -> Result<(), Bad> {
        let (head, buf) = request(&format!("GET / HTTP/1.1\r\n{UPGRADE}\r\n{fields}"));
        check_websocket(&head, &buf)
    }

    fn answered(offered: &str, fields: &str) -> Result<(), Bad> {
        let (head, buf) = request(&format!("GET / HTTP/1.1\r\n{UPGRADE}\r\n{KEY_FIELD}{offered}"));
        let (response, response_buf) = response(fields)?;
        check_answer("websocket", (&head, &buf), (&response, &response_buf))
    }

    #[test]
    fn what_asks_for_an_upgrade() {
        for fields in [
            "Connection: Upgrade\r\nUpgrade: websocket",
            "Upgrade: websocket\r\nconnection: keep-alive, UPGRADE",
            "Connection: keep-alive\r\nConnection: upgrade\r\nUpgrade: websocket",
            "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0",
        ] {
            let asked = asks(&format!("GET / HTTP/1.1\r\n{fields}"));
            assert_eq!(asked.as_deref(), Some("websocket"), "{fields}");
        }
        let other = asks("GET http://a/ HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: X-Y");
        assert_eq!(other.as_deref(), Some("X-Y"));
    }

    #[test]
    fn what_does_not() {
        for text in [
            "GET / HTTP/1.1\r\nConnection: Upgrade",
            "GET / HTTP/1.1\r\nUpgrade: websocket",
            "GET / HTTP/1.1\r\nConnection: upgrades\r\nUpgrade: websocket",
            "GET / HTTP/1.1\r\nConnection: close, upgrade\r\nUpgrade: websocket",
            "GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket, h2c",
            "GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket/13",
            "GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade:",
            "GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\nUpgrade: websocket",
            "GET / HTTP/1.0\r\nConnection: keep-alive, upgrade\r\nUpgrade: websocket",
            "POST / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket",
            "GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1",
            "GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked",
        ] {
            assert_eq!(asks(text), None, "{text}");
        }
    }

    #[test]
    fn a_websocket_request_brings_version_and_key() {
        let version = "Sec-WebSocket-Version: 13";
        assert_eq!(websocket(&format!("{version}\r\n{KEY_FIELD}")), Ok(()));
        for (fields, why) in [
            (KEY_FIELD.to_owned(), Bad::BadWebsocketVersion),
            (format!("{version}\r\n{version}\r\n{KEY_FIELD}"), Bad::BadWebsocketVersion),
            (format!("Sec-WebSocket-Version: 8\r\n{KEY_FIELD}"), Bad::OtherWebsocketVersion),
            (format!("Sec-WebSocket-Version: 13, 8\r\n{KEY_FIELD}"), Bad::OtherWebsocketVersion),
            (version.to_owned(), Bad::BadWebsocketKey),
            (format!("{version}\r\n{KEY_FIELD}\r\n{KEY_FIELD}"), Bad::BadWebsocketKey),
            (format!("{version}\r\nSec-WebSocket-Key: c2hvcnQ="), Bad::BadWebsocketKey),
            (
                format!("{version}\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ!=="),
                Bad::BadWebsocketKey,
            ),
            (
                format!("{version}\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQAA"),
                Bad::BadWebsocketKey,
            ),
        ] {
            assert_eq!(websocket(&fields), Err(why), "{fields}");
        }
    }

    #[test]
    fn the_answer_to_a_key_is_the_one_of_the_rfc() {
        assert_eq!(accept(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(answered("", &format!("{UPGRADE}\r\n{ACCEPT_FIELD}")), Ok(()));
        let case = "connection: keep-alive, UPGRADE\r\nupgrade: WebSocket";
        assert_eq!(answered("", &format!("{case}\r\n{ACCEPT_FIELD}")), Ok(()));
    }

    #[test]
    fn an_answer_that_grants_something_else_is_refused() {
        for (fields, why) in [
            (ACCEPT_FIELD.to_owned(), Bad::BadUpgrade),
            (format!("Connection: Upgrade\r\n{ACCEPT_FIELD}"), Bad::BadUpgrade),
            (format!("Upgrade: websocket\r\n{ACCEPT_FIELD}"), Bad::BadUpgrade),
            (format!("Connection: Upgrade\r\nUpgrade: h2c\r\n{ACCEPT_FIELD}"), Bad::BadUpgrade),
            (format!("{UPGRADE}\r\nUpgrade: websocket\r\n{ACCEPT_FIELD}"), Bad::BadUpgrade),
            (format!("{UPGRADE}, h2c\r\n{ACCEPT_FIELD}"), Bad::BadUpgrade),
            (UPGRADE.to_owned(), Bad::BadWebsocketAccept),
            (format!("{UPGRADE}\r\n{ACCEPT_FIELD}\r\n{ACCEPT_FIELD}"), Bad::BadWebsocketAccept),
            (
                format!("{UPGRADE}\r\nSec-WebSocket-Accept: S3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
                Bad::BadWebsocketAccept,
            ),
            (format!("{UPGRADE}\r\n{ACCEPT_FIELD}\r\nContent-Length: 0"), Bad::UnexpectedFraming),
            (
                format!("{UPGRADE}\r\n{ACCEPT_FIELD}\r\nTransfer-Encoding: chunked"),
                Bad::UnexpectedFraming,
            ),
        ] {
            assert_eq!(answered("", &fields), Err(why), "{fields}");
        }
    }

    #[test]
    fn a_subprotocol_must_have_been_offered() {
        let offered = "\r\nSec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Protocol: c";
        let chosen = |offered: &str, name: &str| {
            let field = format!("Sec-WebSocket-Protocol: {name}");
            answered(offered, &format!("{UPGRADE}\r\n{ACCEPT_FIELD}\r\n{field}"))
        };
        assert_eq!(answered(offered, &format!("{UPGRADE}\r\n{ACCEPT_FIELD}")), Ok(()));
        assert_eq!(chosen(offered, "b"), Ok(()));
        assert_eq!(chosen(offered, "c"), Ok(()));
        for (offered, name) in [(offered, "d"), (offered, "a, b"), (offered, "A"), ("", "a")] {
            assert_eq!(chosen(offered, name), Err(Bad::BadWebsocketProtocol), "{name}");
        }
        let twice = "a\r\nSec-WebSocket-Protocol: b";
        assert_eq!(chosen(offered, twice), Err(Bad::BadWebsocketProtocol));
    }

    #[test]
    fn other_protocols_have_no_key() {
        let (head, buf) = request("GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: raw");
        let (response, response_buf) =
            response("Connection: upgrade\r\nUpgrade: RAW").expect("a head");
        assert_eq!(check_answer("raw", (&head, &buf), (&response, &response_buf)), Ok(()));
    }
}
