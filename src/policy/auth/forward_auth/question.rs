//! What a service is asked about a request.

use std::net::IpAddr;

use super::gatekeeper::Gatekeeper;
use crate::config::Input;
use crate::http::{Known, RequestHead, values};
use crate::policy::auth::digest::Digest;
use crate::policy::transform::Hop;

/// A request that a service is to be asked about.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// Its head.
    pub head: &'a RequestHead,
    /// What the head's spans point into.
    pub buf: &'a [u8],
    /// Its query, without what is nobody else's.
    pub query: Option<&'a [u8]>,
    /// The client's address.
    pub client: IpAddr,
    /// Where it came from.
    pub hop: &'a Hop<'a>,
}

/// A question to a service.
pub struct Question {
    /// Questions with the same are the same question.
    pub digest: Digest,
    /// Field lines of the request that asks, each with its line end.
    pub lines: Vec<u8>,
    /// No other question has it: whoever gets an answer that is for one request only can tell by it
    /// whether it is for this one.
    pub number: u128,
}

impl Question {
    /// What a service is asked about a request. `number` is one that no other question has.
    pub fn new(keeper: &Gatekeeper, asked: &Asked<'_>, number: u128) -> Self {
        let lines = asked.lines(keeper);
        let shared = asked.remembered_by(keeper, &lines);
        let digest = shared.unwrap_or_else(|| alone(keeper, number));
        Self { digest, lines, number }
    }

    /// The same question once more, with an answer for this request only.
    pub fn alone(self, keeper: &Gatekeeper) -> Self {
        Self { digest: alone(keeper, self.number), ..self }
    }
}

/// What a question is known by that is nobody else's.
fn alone(keeper: &Gatekeeper, number: u128) -> Digest {
    keeper.service.digest(&[b"alone", &number.to_le_bytes()])
}

impl Asked<'_> {
    fn lines(&self, keeper: &Gatekeeper) -> Vec<u8> {
        let Self { head, buf, .. } = *self;
        let mut out = Vec::with_capacity(256);
        line(b"X-Forwarded-Method", &[head.method_span.of(buf)], &mut out);
        let query = self.query.map_or([&b""[..]; 2], |query| [b"?", query]);
        line(b"X-Forwarded-Uri", &[head.path.of(buf), query[0], query[1]], &mut out);
        // Who the client proved to be is no part of keys, so no answer may depend on it.
        let hop = Hop { identity: None, early: false, ..*self.hop };
        keeper.forward.append(head, buf, &hop, &mut out);
        for name in &keeper.rules.request_headers {
            match &keeper.cookies {
                Some(named) if name == "cookie" => self.append_cookies(named, &mut out),
                _ => self.append(name.as_bytes(), &mut out),
            }
        }
        out
    }

    /// All lines of a field, but for what belongs to one connection.
    fn append(&self, wanted: &[u8], out: &mut Vec<u8>) {
        for field in self.head.fields.iter().filter(|field| !field.hop) {
            let name = field.name.of(self.buf);
            if name.eq_ignore_ascii_case(wanted) {
                line(name, &[field.value.of(self.buf)], out);
            }
        }
    }

    fn append_cookies(&self, named: &[Box<[u8]>], out: &mut Vec<u8>) {
        let mut pairs = self.cookies().filter(|(name, _)| named.iter().any(|one| **one == **name));
        let Some((name, value)) = pairs.next() else { return };
        for part in [&b"Cookie: "[..], name, b"=", value] {
            out.extend_from_slice(part);
        }
        for (name, value) in pairs {
            for part in [&b"; "[..], name, b"=", value] {
                out.extend_from_slice(part);
            }
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Cookies in order (RFC 6265 section 4.2), of whatever name and however often.
    fn cookies(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let fields = self.head.fields.iter().filter(|field| field.known == Known::Cookie);
        let pairs = fields.flat_map(|field| field.value.of(self.buf).split(|b| *b == b';'));
        pairs.filter_map(|pair| {
            let pair = pair.trim_ascii();
            let at = memchr::memchr(b'=', pair)?;
            Some((&pair[..at], &pair[at + 1..]))
        })
    }

    /// What an answer to this is remembered by; `None`: it is not.
    fn remembered_by(&self, keeper: &Gatekeeper, lines: &[u8]) -> Option<Digest> {
        let cache = keeper.rules.cache.as_ref()?;
        let mut parts = Parts::default();
        for input in &cache.key {
            match input {
                Input::Header(name) => {
                    parts.all(values(&self.head.fields, self.buf, name.as_bytes()));
                }
                Input::Cookie(name) => {
                    let of_name = self.cookies().filter(|(one, _)| *one == name.as_bytes());
                    parts.all(of_name.map(|(_, value)| value));
                }
                Input::Method => parts.one(self.head.method_span.of(self.buf)),
                Input::Path => parts.one(self.head.path.of(self.buf)),
                Input::Query => parts.all(self.query.into_iter()),
                // As the service gets it.
                Input::Host => {
                    for name in [&b"X-Forwarded-Proto: "[..], b"X-Forwarded-Host: "] {
                        parts.all(lines_of(lines, name));
                    }
                }
                Input::ClientIp => match self.client.to_canonical() {
                    IpAddr::V4(v4) => parts.one(&v4.octets()),
                    IpAddr::V6(v6) => parts.one(&v6.octets()),
                },
            }
        }
        Some(keeper.service.digest(&[b"shared", &parts.0]))
    }
}

/// Parts, each told from the next.
#[derive(Default)]
struct Parts(Vec<u8>);

impl Parts {
    fn one(&mut self, part: &[u8]) {
        self.0.extend_from_slice(&(part.len() as u64).to_le_bytes());
        self.0.extend_from_slice(part);
    }

    /// However many there are.
    fn all<'a>(&mut self, parts: impl Iterator<Item = &'a [u8]>) {
        for part in parts {
            self.one(part);
        }
        // No part is as long.
        self.0.extend_from_slice(&u64::MAX.to_le_bytes());
    }
}

/// Values of the lines that begin so.
fn lines_of<'a>(lines: &'a [u8], start: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    lines.split(|b| *b == b'\n').filter_map(move |line| line.strip_prefix(start))
}

fn line(name: &[u8], value: &[&[u8]], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    for part in value {
        out.extend_from_slice(part);
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::config::{AnswerCache, EncodedSlash, ForwardAuth, HttpBounds, OnError};
    use crate::http::h1::{Scan, parse_request};
    use crate::policy::auth::service::Service;
    use crate::policy::transform::{AddressText, Scheme, Trust};

    const BOUNDS: HttpBounds = HttpBounds {
        max_head: 4096,
        max_fields: 20,
        max_uri: 1024,
        max_chunk_extension: 0,
        encoded_slash: EncodedSlash::Keep,
        underscores_in_headers: false,
    };

    fn keeper(sent: &[&str], key: Option<Vec<Input>>) -> Gatekeeper {
        let second = Duration::from_secs(1);
        let cache = key.map(|key| AnswerCache { key, allowed_for: second, denied_for: second });
        let rules = ForwardAuth {
            url: "http://auth.internal/".to_owned(),
            roots: None,
            timeout: second,
            request_headers: sent.iter().map(|name| (*name).to_owned()).collect(),
            response_headers: Vec::new(),
            cache,
            on_error: OnError::Refuse,
        };
        let service = Arc::new(Service::new("forward_auth:a", second, [7; 32], 1));
        Gatekeeper::new(service, &Arc::new(rules), Box::new(|_, _| Box::pin(pending())))
    }

    /// A question about a request of these lines.
    fn question(keeper: &Gatekeeper, start: &str, fields: &str, number: u128) -> Question {
        let mut text = format!("{start} HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n").into_bytes();
        let mut head = RequestHead::default();
        let parsed = parse_request(&mut text, &mut Scan::default(), &BOUNDS, &mut head);
        assert_eq!(parsed, Ok(true));
        let client = "192.0.2.1".parse().unwrap();
        let address = AddressText::of(client);
        let hop = Hop {
            peer: &address,
            client: &address,
            trust: Trust::None,
            scheme: Scheme::Https,
            identity: None,
            early: false,
            request_id: b"id",
            random: (1, 2),
        };
        let query = head.query.map(|query| query.of(&text));
        let asked = Asked { head: &head, buf: &text, query, client, hop: &hop };
        Question::new(keeper, &asked, number)
    }

    fn lines(question: &Question) -> String {
        String::from_utf8(question.lines.clone()).unwrap()
    }

    #[test]
    fn a_service_is_told_what_is_named_and_no_claims_of_the_clients() {
        let fields = "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Uri: /x\r\nCookie: a=1; b=2\r\n\
                      x-key: 1\r\nX-Key: 2\r\nConnection: x-hop\r\nX-Hop: 1\r\n";
        let asked =
            question(&keeper(&["cookie", "x-key", "x-hop"], None), "PUT /a/b?c=1", fields, 1);
        assert_eq!(
            lines(&asked),
            "X-Forwarded-Method: PUT\r\nX-Forwarded-Uri: /a/b?c=1\r\n\
             X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: a.example\r\n\
             Cookie: a=1; b=2\r\nx-key: 1\r\nX-Key: 2\r\n"
        );
    }

    #[test]
    fn of_cookies_the_service_gets_those_that_its_answers_are_remembered_by() {
        let cookies = |key: Vec<Input>, fields| {
            let asked = question(&keeper(&["cookie"], Some(key)), "GET /", fields, 1);
            lines(&asked)
                .lines()
                .filter_map(|line| line.strip_prefix("Cookie: ").map(str::to_owned))
                .collect::<Vec<_>>()
        };
        let named = || vec![Input::Cookie("a".to_owned()), Input::Cookie("c".to_owned())];
        let fields = "Cookie: a=1; b=2;c=3=4\r\nCookie: d; a=5; A=6\r\n";
        assert_eq!(cookies(named(), fields), ["a=1; c=3=4; a=5"]);
        assert_eq!(cookies(named(), "Cookie: b=2\r\n"), [""; 0]);
        let whole = [named(), vec![Input::Header("cookie".to_owned())]].concat();
        assert_eq!(cookies(whole, fields), ["a=1; b=2;c=3=4", "d; a=5; A=6"]);
    }

    #[test]
    fn the_same_inputs_are_the_same_question_and_others_are_not() {
        let key = vec![
            Input::Header("authorization".to_owned()),
            Input::Cookie("sid".to_owned()),
            Input::Method,
            Input::Path,
            Input::Query,
            Input::Host,
            Input::ClientIp,
        ];
        let keeper = keeper(&["authorization", "cookie"], Some(key));
        let digest = |start, fields| question(&keeper, start, fields, 1).digest;
        let first = digest("GET /a?b", "Cookie: sid=1; x=1\r\n");
        let mut other_number =
            question(&keeper, "GET /a?b", "Cookie: x=2; sid=1\r\nX-Else: 1\r\n", 2);
        assert_eq!(other_number.digest, first);
        other_number = other_number.alone(&keeper);
        assert_ne!(other_number.digest, first);
        let others = [
            ("GET /a", "Cookie: sid=1\r\n"),
            ("GET /a?", "Cookie: sid=1\r\n"),
            ("GET /ab?", "Cookie: sid=1\r\n"),
            ("HEAD /a?b", "Cookie: sid=1\r\n"),
            ("GET /a?b", ""),
            ("GET /a?b", "Cookie: sid=\r\n"),
            ("GET /a?b", "Cookie: sid=11\r\n"),
            ("GET /a?b", "Cookie: sid=1; sid=1\r\n"),
            ("GET /a?b", "Authorization: 1\r\n"),
            ("GET /a?b", "Authorization: 1\r\nCookie: sid=1\r\n"),
        ];
        let mut digests: Vec<_> =
            others.iter().map(|(start, fields)| digest(start, fields)).collect();
        digests.push(first);
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), others.len() + 1);
    }

    #[test]
    fn what_is_not_remembered_is_nobody_elses_question() {
        let keeper = keeper(&[], None);
        let digest = |number| question(&keeper, "GET /", "", number).digest;
        assert_eq!(digest(1), digest(1));
        assert_ne!(digest(1), digest(2));
    }
}
