//! What it means that a service answers.

use std::time::Duration;

use crate::config::{AnswerCache, ForwardAuth};
use crate::limits::FORWARD_AUTH_FIELDS;

/// Fields of an answer that refuses which clients get; Content-Type has a place of its own.
const FOR_CLIENTS: [&str; 7] = [
    "WWW-Authenticate",
    "Location",
    "Set-Cookie",
    "Retry-After",
    CACHE_CONTROL,
    "Content-Encoding",
    "Content-Language",
];

const CACHE_CONTROL: &str = "Cache-Control";

/// A service's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The number of the question that was asked.
    pub number: u128,
    /// What it says.
    pub verdict: Verdict,
    /// For how long it counts for other requests too; `None`: it is for the one that asked only.
    pub holds: Option<Duration>,
}

/// A field for the upstream: name and value.
pub type Line = (Box<[u8]>, Box<[u8]>);

/// What a service says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The request passes, with fields for the upstream.
    Passes(Vec<Line>),
    /// The client gets this instead.
    Refuses(Refused),
}

/// What a client gets whose request a service refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Status code, 3xx or 4xx.
    pub status: u16,
    /// Content-Type; empty: none.
    pub content_type: String,
    /// Further fields.
    pub fields: Vec<(&'static str, Box<[u8]>)>,
    /// Content.
    pub content: Vec<u8>,
}

impl Refused {
    /// Appends the fields that are wanted, each with its line end.
    pub fn append(&self, wanted: impl Fn(&str) -> bool, out: &mut Vec<u8>) {
        for (name, value) in self.fields.iter().filter(|(name, _)| wanted(name)) {
            for part in [name.as_bytes(), b": ", value, b"\r\n"] {
                out.extend_from_slice(part);
            }
        }
    }
}

/// Why an answer is as good as none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unusable {
    /// Its status says that the service failed, or nothing of a request.
    Status(u16),
    /// A field can't be passed on.
    Field,
    /// Its fields are too long.
    TooLong,
}

impl Unusable {
    /// In words, for the log.
    pub fn text(self) -> String {
        match self {
            Self::Status(status) => format!("it answered {status}"),
            Self::Field => "a field of its answer can't be passed on".to_owned(),
            Self::TooLong => "the fields of its answer are too long".to_owned(),
        }
    }
}

impl Answer {
    /// What an answer with this status, these fields and this content means. `number` is that of the
    /// question.
    ///
    /// # Errors
    /// Where it means nothing.
    pub fn new(
        rules: &ForwardAuth,
        number: u128,
        (status, content): (u16, &[u8]),
        fields: &[(&str, &[u8])],
    ) -> Result<Self, Unusable> {
        let verdict = match status {
            200..=299 => Verdict::Passes(passed(rules, fields)?),
            300..=303 | 305..=499 => match refused(status, fields, content) {
                Ok(refused) => Verdict::Refuses(refused),
                // Whatever else is wrong with it, it is a refusal.
                Err(_) => {
                    let verdict = Verdict::Refuses(bare(status));
                    return Ok(Self { number, verdict, holds: None });
                }
            },
            _ => return Err(Unusable::Status(status)),
        };
        let holds = match &rules.cache {
            Some(cache) => holds(cache, &verdict, fields),
            None => None,
        };
        Ok(Self { number, verdict, holds })
    }

    /// Bytes that remembering it takes, about.
    pub fn weight(&self) -> usize {
        const OWN: usize = 256;
        OWN + match &self.verdict {
            Verdict::Passes(fields) => {
                fields.iter().map(|(name, value)| name.len() + value.len() + 64).sum()
            }
            Verdict::Refuses(refused) => {
                let fields: usize = refused.fields.iter().map(|(_, value)| value.len() + 64).sum();
                fields + refused.content.len() + refused.content_type.len()
            }
        }
    }
}

/// The fields for upstreams, by the names that the configuration writes.
fn passed(rules: &ForwardAuth, fields: &[(&str, &[u8])]) -> Result<Vec<Line>, Unusable> {
    let mut kept = Kept::default();
    let mut passed = Vec::new();
    for &(name, value) in fields {
        let mut wanted = rules.response_headers.iter();
        if let Some(name) = wanted.find(|wanted| wanted.eq_ignore_ascii_case(name)) {
            kept.add(name, value)?;
            passed.push((name.as_bytes().into(), value.into()));
        }
    }
    Ok(passed)
}

fn refused(status: u16, fields: &[(&str, &[u8])], content: &[u8]) -> Result<Refused, Unusable> {
    let mut kept = Kept::default();
    let (mut passed, mut content_type) = (Vec::new(), String::new());
    for &(name, value) in fields {
        if name.eq_ignore_ascii_case("content-type") {
            kept.add(name, value)?;
            let text = std::str::from_utf8(value).map_err(|_| Unusable::Field)?;
            content_type = text.to_owned();
        } else if let Some(name) = FOR_CLIENTS.iter().find(|one| one.eq_ignore_ascii_case(name)) {
            kept.add(name, value)?;
            passed.push((*name, value.into()));
        }
    }
    if !passed.iter().any(|(name, _)| *name == CACHE_CONTROL) {
        // What it depends on no cache in between can know.
        passed.push((CACHE_CONTROL, (*b"no-store").into()));
    }
    Ok(Refused { status, content_type, fields: passed, content: content.to_vec() })
}

/// A refusal of which nothing can be told but that it is one.
fn bare(status: u16) -> Refused {
    let status = if status < 400 { 403 } else { status };
    let fields = vec![(CACHE_CONTROL, (*b"no-store").into())];
    Refused { status, content_type: String::new(), fields, content: Vec::new() }
}

/// Bytes of fields that are kept so far.
#[derive(Default)]
struct Kept(usize);

impl Kept {
    fn add(&mut self, name: &str, value: &[u8]) -> Result<(), Unusable> {
        if value.iter().any(|byte| (*byte < 0x20 && *byte != b'\t') || *byte == 0x7f) {
            return Err(Unusable::Field);
        }
        self.0 += name.len() + value.len();
        if self.0 > FORWARD_AUTH_FIELDS { Err(Unusable::TooLong) } else { Ok(()) }
    }
}

/// For how long an answer counts for others: as the configuration has it, or as the service says where
/// that is shorter.
fn holds(cache: &AnswerCache, verdict: &Verdict, fields: &[(&str, &[u8])]) -> Option<Duration> {
    let mut holds = match verdict {
        Verdict::Passes(_) => cache.allowed_for,
        Verdict::Refuses(_) => cache.denied_for,
    };
    for &(name, value) in fields {
        // It is one client's.
        if name.eq_ignore_ascii_case("set-cookie") {
            return None;
        }
        if name.eq_ignore_ascii_case("cache-control") {
            let text = String::from_utf8_lossy(value).to_ascii_lowercase();
            for directive in text.split(',') {
                holds = holds.min(directive_holds(directive.trim()));
            }
        }
    }
    Some(holds).filter(|holds| !holds.is_zero())
}

/// How long an answer may be kept by one directive (RFC 9111 section 5.2.2). What says a time that is
/// none is not to be kept.
fn directive_holds(directive: &str) -> Duration {
    let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
    match name {
        "no-store" | "no-cache" | "private" => Duration::ZERO,
        "max-age" | "s-maxage" => {
            Duration::from_secs(value.trim_matches('"').parse().unwrap_or_default())
        }
        _ => Duration::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::OnError;

    fn rules() -> ForwardAuth {
        ForwardAuth {
            url: "http://auth.internal/".to_owned(),
            roots: None,
            timeout: Duration::from_secs(1),
            request_headers: Vec::new(),
            response_headers: vec!["X-User".to_owned()],
            cache: Some(AnswerCache {
                key: Vec::new(),
                allowed_for: Duration::from_secs(10),
                denied_for: Duration::from_secs(2),
            }),
            on_error: OnError::Refuse,
        }
    }

    fn said(status: u16, fields: &[(&str, &str)]) -> Result<Answer, Unusable> {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        Answer::new(&rules(), 7, (status, b"text"), &fields)
    }

    fn seconds(status: u16, fields: &[(&str, &str)]) -> Option<u64> {
        said(status, fields).unwrap().holds.map(|time| time.as_secs())
    }

    #[test]
    fn a_status_says_who_passes() {
        for status in [200, 204, 299] {
            assert_eq!(said(status, &[]).unwrap().verdict, Verdict::Passes(Vec::new()), "{status}");
        }
        for status in [300, 302, 401, 404, 499] {
            let answer = said(status, &[]).unwrap();
            let Verdict::Refuses(refused) = answer.verdict else { panic!("{status}") };
            assert_eq!((refused.status, answer.number), (status, 7));
        }
        for status in [100, 101, 304, 500, 503, 600, 999] {
            assert_eq!(said(status, &[]), Err(Unusable::Status(status)));
        }
    }

    #[test]
    fn a_refusal_that_is_too_large_to_be_told_is_a_refusal() {
        let long = "a".repeat(FORWARD_AUTH_FIELDS + 1);
        for (status, told) in [(302, 403), (401, 401), (404, 404)] {
            let answer = said(status, &[("Location", &long)]).unwrap();
            let Verdict::Refuses(refused) = &answer.verdict else { panic!("{status}") };
            let names: Vec<_> = refused.fields.iter().map(|(name, _)| *name).collect();
            assert_eq!((refused.status, &names[..]), (told, &[CACHE_CONTROL][..]));
            assert!(refused.content.is_empty() && answer.holds.is_none());
        }
    }

    #[test]
    fn fields_pass_by_name_and_without_control_characters() {
        let fields = [("x-user", "ann"), ("x-else", "1"), ("X-USER", "b\tc"), ("location", "/")];
        let Verdict::Passes(passed) = said(200, &fields).unwrap().verdict else { panic!("it is") };
        let [(name, first), (_, second)] = &passed[..] else { panic!("{passed:?}") };
        assert_eq!((&**name, &**first, &**second), (&b"X-User"[..], &b"ann"[..], &b"b\tc"[..]));
        for value in ["a\rb", "a\nb", "a\0b", "a\x7fb"] {
            assert_eq!(said(200, &[("x-user", value)]), Err(Unusable::Field), "{value:?}");
            for name in ["www-authenticate", "content-type"] {
                let verdict = said(401, &[(name, value)]).unwrap().verdict;
                assert_eq!(verdict, Verdict::Refuses(bare(401)), "{name}: {value:?}");
            }
            // What nobody gets may be anything.
            assert!(said(200, &[("x-else", value)]).is_ok());
        }
        let long = "x".repeat(FORWARD_AUTH_FIELDS);
        assert_eq!(said(200, &[("x-user", &long)]), Err(Unusable::TooLong));
    }

    #[test]
    fn clients_get_some_fields_and_are_told_whether_to_keep_the_answer() {
        let lines = |fields: &[(&str, &str)]| {
            let Verdict::Refuses(refused) = said(401, fields).unwrap().verdict else {
                panic!("no")
            };
            let mut out = Vec::new();
            refused.append(|_| true, &mut out);
            (String::from_utf8(out).unwrap(), refused.content_type)
        };
        let fields = [
            ("set-cookie", "a=1"),
            ("connection", "close"),
            ("content-type", "text/html"),
            ("set-cookie", "b=2"),
            ("x-user", "ann"),
        ];
        let told = "Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nCache-Control: no-store\r\n".to_owned();
        assert_eq!(lines(&fields), (told, "text/html".to_owned()));
        let told = "Cache-Control: max-age=1\r\n".to_owned();
        assert_eq!(lines(&[("cache-control", "max-age=1")]), (told, String::new()));
    }

    #[test]
    fn an_answer_holds_as_long_as_both_say() {
        assert_eq!((seconds(200, &[]), seconds(403, &[])), (Some(10), Some(2)));
        let told = |text| seconds(200, &[("cache-control", text)]);
        assert_eq!((told("max-age=4"), told("public, MAX-AGE=\"4\"")), (Some(4), Some(4)));
        assert_eq!((told("max-age=99"), told("max-age=9, s-maxage=3")), (Some(10), Some(3)));
        for text in [
            "no-store",
            "private",
            "private=\"a\", max-age=4",
            "no-cache",
            "max-age=0",
            "max-age=x",
        ] {
            assert_eq!(told(text), None, "{text}");
        }
        assert_eq!(seconds(200, &[("set-cookie", "a=1")]), None);
        let rules = ForwardAuth { cache: None, ..rules() };
        assert_eq!(Answer::new(&rules, 1, (200, b""), &[]).unwrap().holds, None);
    }
}
