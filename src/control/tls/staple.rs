//! An OCSP response: for which certificate it is, and until when (RFC 6960 section 4.2.1).

use x509_parser::asn1_rs::{Any, Class, FromDer};
use x509_parser::time::ASN1Time;

/// id-pkix-ocsp-basic.
const BASIC: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01];

/// What a response is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// None, but what the responder could not answer.
    Refusal,
    /// About other certificates.
    Other,
    /// About this one; `until` in seconds since 1970, `None`: there is always a newer one.
    This { until: Option<i64> },
}

/// Reads a response about the certificate with this serial number; `None`: it is none.
pub(super) fn read(response: &[u8], serial: &[u8]) -> Option<Answer> {
    let (status, rest) = part(whole(response)?)?;
    if status.data != [0] {
        return (status.data.len() == 1 && rest.is_empty()).then_some(Answer::Refusal);
    }
    let (kind, rest) = part(whole(whole(rest)?)?)?;
    if kind.data != BASIC {
        return None;
    }
    let (about, _) = part(whole(whole(rest)?)?)?;
    let (first, rest) = part(about.data)?;
    // The version, which comes first, is left out where it is 1; then the responder and the time.
    let rest = if is_tagged(&first, 0) { part(rest)?.1 } else { rest };
    let (all, _) = part(part(rest)?.1)?;
    let mut rest = all.data;
    while !rest.is_empty() {
        let (one, others) = part(rest)?;
        rest = others;
        let (id, times) = part(one.data)?;
        if serial_of(id.data)? == serial {
            return Some(Answer::This { until: next_update(times)? });
        }
    }
    Some(Answer::Other)
}

/// Behind the hash's name and two hashes of who signed the certificate.
fn serial_of(id: &[u8]) -> Option<&[u8]> {
    let rest = part(part(part(id)?.1)?.1)?.1;
    Some(part(rest)?.0.data)
}

/// Behind the certificate's status and the time of this answer; the outer `None`: malformed.
fn next_update(rest: &[u8]) -> Option<Option<i64>> {
    let rest = part(part(rest)?.1)?.1;
    if rest.is_empty() {
        return Some(None);
    }
    let (next, _) = part(rest)?;
    if !is_tagged(&next, 0) {
        return Some(None);
    }
    ASN1Time::from_der(next.data).ok().map(|(_, time)| Some(time.timestamp()))
}

/// The first element and what follows it.
fn part(bytes: &[u8]) -> Option<(Any<'_>, &[u8])> {
    Any::from_der(bytes).ok().map(|(rest, element)| (element, rest))
}

/// What is in the first element.
fn whole(bytes: &[u8]) -> Option<&[u8]> {
    part(bytes).map(|(element, _)| element.data)
}

fn is_tagged(element: &Any<'_>, number: u32) -> bool {
    element.class() == Class::ContextSpecific && element.tag().0 == number
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        assert!(content.len() < 256);
        let length = match content.len() as u8 {
            short @ 0..0x80 => vec![short],
            long => vec![0x81, long],
        };
        [vec![tag], length, content].concat()
    }

    /// A good answer about this serial number, until then (`YYYYMMDDHHMMSSZ`).
    pub(in super::super) fn response(serial: &[u8], until: Option<&str>) -> Vec<u8> {
        let id = [element(0x30, &[]), element(4, &[b"name"]), element(4, &[b"key"])].concat();
        let id = element(0x30, &[&id, &element(2, &[serial])]);
        let this = element(0x18, &[b"20260101000000Z"]);
        let next = until.map(|until| element(0xa0, &[&element(0x18, &[until.as_bytes()])]));
        let one = element(0x30, &[&id, &element(0x80, &[]), &this, &next.unwrap_or_default()]);
        let responder = element(0xa2, &[&element(4, &[b"responder"])]);
        let about = element(0x30, &[&responder, &this, &element(0x30, &[&one])]);
        let basic = element(0x30, &[&about, &element(0x30, &[]), &element(3, &[b"\0"])]);
        let bytes = element(0x30, &[&element(6, &[BASIC]), &element(4, &[&basic])]);
        element(0x30, &[&element(10, &[&[0]]), &element(0xa0, &[&bytes])])
    }

    #[test]
    fn an_answer_is_for_one_certificate_and_has_its_time() {
        let good = response(&[1, 2], Some("20270115080000Z"));
        assert_eq!(read(&good, &[1, 2]), Some(Answer::This { until: Some(1_800_000_000) }));
        assert_eq!(read(&good, &[1]), Some(Answer::Other));
        let newest = response(&[1, 2], None);
        assert_eq!(read(&newest, &[1, 2]), Some(Answer::This { until: None }));
        assert_eq!(read(&[0x30, 3, 10, 1, 6], &[1, 2]), Some(Answer::Refusal));
    }

    #[test]
    fn what_is_cut_off_is_no_answer() {
        let good = response(&[1, 2], Some("20270115080000Z"));
        for end in 0..good.len() {
            assert_eq!(read(&good[..end], &[1, 2]), None, "{end}");
        }
        for at in 0..good.len() {
            let mut other = good.clone();
            other[at] ^= 0x11;
            read(&other, &[1, 2]);
        }
    }
}
