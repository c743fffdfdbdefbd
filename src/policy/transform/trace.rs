//! traceparent (W3C Trace Context, level 2): continued or started.

use super::alphabet::hex;
use crate::http::{Field, Known};

/// Flags that are passed on: sampled and random-trace-id. Others are reserved and must be zero.
const KNOWN_FLAGS: u8 = 0b11;

const SAMPLED: u8 = 0b01;

/// Length of a version 00 traceparent.
const LEN: usize = 55;

/// The trace a request belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace<'a> {
    /// 32 lower-case hexadecimal digits, not all zero.
    pub id: &'a [u8],
    /// The flags that are passed on.
    pub flags: u8,
}

impl<'a> Trace<'a> {
    /// The trace that a request's one valid traceparent names. It is taken from anybody: it
    /// decides about nothing here.
    pub fn read(fields: &[Field], buf: &'a [u8]) -> Option<Self> {
        let mut parents = fields.iter().filter(|f| f.known == Known::Traceparent);
        let (first, second) = (parents.next()?, parents.next());
        if second.is_some() {
            return None;
        }
        parse(first.value.of(buf))
    }
}

/// Appends the traceparent line (and, where `trace` goes on, the tracestate lines), with
/// `random` as the parent id and, for a new trace, the trace id.
///
/// A new trace is marked as sampled: without the field a service would decide by itself, and most
/// take an unsampled parent as an order to record nothing.
pub fn append(
    trace: Option<Trace<'_>>,
    fields: &[Field],
    buf: &[u8],
    random: (u128, u64),
    out: &mut Vec<u8>,
) {
    let made: [u8; 32] = hex(random.0.max(1).to_be_bytes());
    let Trace { id, flags } = trace.unwrap_or(Trace { id: &made, flags: SAMPLED });
    let parent: [u8; 16] = hex(random.1.max(1).to_be_bytes());
    let flags: [u8; 2] = hex([flags]);
    for part in [b"traceparent: 00-", id, b"-", &parent, b"-", &flags, b"\r\n"] {
        out.extend_from_slice(part);
    }
    if trace.is_none() {
        return;
    }
    for state in fields.iter().filter(|f| f.known == Known::Tracestate) {
        out.extend_from_slice(b"tracestate: ");
        out.extend_from_slice(state.value.of(buf));
        out.extend_from_slice(b"\r\n");
    }
}

/// version "-" trace-id "-" parent-id "-" flags, and for versions after 00 maybe "-" and more.
fn parse(value: &[u8]) -> Option<Trace<'_>> {
    let (known, more) = value.split_at_checked(LEN)?;
    let (version, id, parent, flags) = (&known[..2], &known[3..35], &known[36..52], &known[53..]);
    let dashes = [known[2], known[35], known[52]] == *b"---";
    let digits = [version, id, parent, flags].into_iter().flatten().all(is_digit);
    let zero = |part: &[u8]| part.iter().all(|byte| *byte == b'0');
    let length = more.is_empty() || (version != b"00" && more[0] == b'-');
    let valid = dashes && digits && length && version != b"ff" && !zero(id) && !zero(parent);
    let flags = digit(flags[0]) << 4 | digit(flags[1]);
    valid.then_some(Trace { id, flags: flags & KNOWN_FLAGS })
}

/// Upper-case digits are invalid (section 3.2).
fn is_digit(byte: &u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

fn digit(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Span;
    use proptest::prelude::*;

    const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn sent(fields: &[(Known, &str)]) -> String {
        let buf: String = fields.iter().map(|f| f.1).collect();
        let mut at = 0;
        let field = |f: &(Known, &str)| {
            at += f.1.len();
            let value = Span::new(at - f.1.len(), at);
            Field { name: Span::default(), value, known: f.0, hop: false }
        };
        let fields: Vec<_> = fields.iter().map(field).collect();
        let mut out = Vec::new();
        let trace = Trace::read(&fields, buf.as_bytes());
        append(trace, &fields, buf.as_bytes(), (0xabc, 0xdef), &mut out);
        String::from_utf8(out).unwrap()
    }

    fn started() -> String {
        format!("traceparent: 00-{:032x}-{:016x}-01\r\n", 0xabc, 0xdef)
    }

    fn continued(flags: &str) -> String {
        format!("traceparent: 00-{ID}-{:016x}-{flags}\r\n", 0xdef)
    }

    #[test]
    fn a_trace_goes_on_with_a_new_parent_and_its_state() {
        let fields =
            [(Known::Tracestate, "a=1"), (Known::Traceparent, VALID), (Known::Tracestate, "b=2")];
        let state = "tracestate: a=1\r\ntracestate: b=2\r\n";
        assert_eq!(sent(&fields), continued("01") + state);
    }

    #[test]
    fn without_a_parent_a_trace_begins_and_the_state_goes() {
        assert_eq!(sent(&[(Known::Tracestate, "a=1")]), started());
    }

    #[test]
    fn unknown_flags_are_cleared() {
        assert_eq!(sent(&[(Known::Traceparent, &VALID.replace("-01", "-00"))]), continued("00"));
        assert_eq!(sent(&[(Known::Traceparent, &VALID.replace("-01", "-ff"))]), continued("03"));
    }

    #[test]
    fn later_versions_are_read_as_far_as_known() {
        let later = VALID.replacen("00", "cc", 1);
        assert_eq!(sent(&[(Known::Traceparent, &later)]), continued("01"));
        assert_eq!(sent(&[(Known::Traceparent, &(later.clone() + "-what"))]), continued("01"));
        assert_eq!(sent(&[(Known::Traceparent, &(later + ".what"))]), started());
    }

    #[test]
    fn an_invalid_parent_starts_a_new_trace() {
        let invalid = [
            String::new(),
            VALID.to_uppercase(),
            VALID.replacen("00", "ff", 1),
            VALID.replace(ID, &"0".repeat(32)),
            VALID.replace("00f067aa0ba902b7", &"0".repeat(16)),
            VALID.replace('-', "_"),
            format!("{VALID}-more"),
            VALID[..54].to_owned(),
            VALID.replace("01", "0g"),
        ];
        for value in invalid {
            assert_eq!(sent(&[(Known::Traceparent, &value)]), started(), "{value}");
        }
        let twice = [(Known::Traceparent, VALID), (Known::Traceparent, VALID)];
        assert_eq!(sent(&twice), started());
    }

    #[test]
    fn ids_are_never_all_zero() {
        let mut out = Vec::new();
        append(None, &[], b"", (0, 0), &mut out);
        assert!(parse(&out[b"traceparent: ".len()..out.len() - 2]).is_some());
    }

    proptest! {
        #[test]
        fn what_is_sent_is_valid(value in "[0-9a-f-]{50,60}", random in any::<(u128, u64)>()) {
            let mut out = Vec::new();
            append(parse(value.as_bytes()), &[], b"", random, &mut out);
            prop_assert!(parse(&out[b"traceparent: ".len()..out.len() - 2]).is_some());
        }
    }
}
