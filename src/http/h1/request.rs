//! Request heads (RFC 9112 sections 2 and 3).

use super::connection;
use super::fields::{Presence, Underscores, parse_fields, value};
use super::framing::announced;
use super::scan::{FirstLine, Scan};
use super::stop::{Stop, line_end};
use super::target::{RawTarget, Target, TargetAuthority, scan_target, split_target};
use super::{Bad, parse_when_ripe};
use crate::config::HttpBounds;
use crate::http::bytes::token_end;
use crate::http::head::{Known, Method, RequestHead, Span, TargetForm, Version, first};
use crate::http::host::{Authority, parse_authority};
use crate::http::path::canonicalise;
use crate::limits::{MAX_LEADING_BLANK_LINES, MAX_METHOD};

/// Parses the request head at the start of `buf`. `Ok(false)`: more bytes are needed.
///
/// Called again with the same `scan` as `buf` grows; `scan` starts as its default with each
/// message. `head` is overwritten, and means something after `Ok(true)` only. Then the path is
/// canonical and the host lower-case, in `buf` itself.
pub fn parse_request(
    buf: &mut [u8],
    scan: &mut Scan,
    bounds: &HttpBounds,
    head: &mut RequestHead,
) -> Result<bool, Bad> {
    let max_len = bounds.max_uri.saturating_add(MAX_METHOD + 1);
    let first = FirstLine { max_blank: MAX_LEADING_BLANK_LINES, max_len };
    parse_when_ripe(buf, scan, bounds.max_head, first, |buf| attempt(buf, bounds, head))
}

/// One pass over the head from left to right, then what needs all of it.
fn attempt(buf: &mut [u8], bounds: &HttpBounds, head: &mut RequestHead) -> Result<(), Stop> {
    let start = skip_blank_lines(buf)?;
    let (method, method_end) = parse_method(buf, start)?;
    let raw = scan_target(buf, method_end + 1, bounds.max_uri)?;
    let (version, fields_at) = parse_version(buf, raw.end + 1)?;
    head.fields.clear();
    let underscores = Underscores::of(bounds);
    let (len, presence) =
        parse_fields(buf, fields_at, bounds.max_fields, underscores, &mut head.fields)?;

    head.method = method;
    head.method_span = Span::new(start, method_end);
    head.version = version;
    head.len = len;
    Ok(conclude(buf, raw, presence, bounds, head)?)
}

/// Reads a head of which all of `buf` is, and whose fields are in `head` already, as
/// [`add`](super::fields::add) put them there when their lines were written.
pub(in crate::http) fn read_written(
    buf: &mut [u8],
    presence: Presence,
    bounds: &HttpBounds,
    head: &mut RequestHead,
) -> Result<(), Bad> {
    let raw = first_line(buf, bounds, head).map_err(|stop| match stop {
        Stop::Bad(bad) => bad,
        Stop::Incomplete => Bad::BadRequestLine,
    })?;
    head.len = buf.len();
    conclude(buf, raw, presence, bounds, head)
}

fn first_line(buf: &[u8], bounds: &HttpBounds, head: &mut RequestHead) -> Result<RawTarget, Stop> {
    let (method, method_end) = parse_method(buf, 0)?;
    let raw = scan_target(buf, method_end + 1, bounds.max_uri)?;
    let (version, _) = parse_version(buf, raw.end + 1)?;
    head.method = method;
    head.method_span = Span::new(0, method_end);
    head.version = version;
    Ok(raw)
}

/// Checks what one line alone cannot tell, then makes path and host canonical.
fn conclude(
    buf: &mut [u8],
    raw: RawTarget,
    presence: Presence,
    bounds: &HttpBounds,
    head: &mut RequestHead,
) -> Result<(), Bad> {
    head.framing = announced(buf, &head.fields, &presence, head.version)?.of_request();
    head.keep_alive = match presence.once.contains(Known::Connection) {
        true => connection::apply(buf, &mut head.fields, head.version)?,
        false => head.version == Version::Http11,
    };
    head.expect_continue =
        presence.once.contains(Known::Expect) && expects_continue(buf, presence, head)?;
    head.upgrade = presence.once.contains(Known::Upgrade);
    let host = host_field(buf, presence, head)?;
    let target = split_target(buf, raw, head.method)?;
    place_host(buf, host, &target, head)?;
    head.form = target.form;
    head.query = raw.question.map(|at| Span::new(at + 1, raw.end));
    head.path = target.path;
    if raw.work && matches!(target.form, TargetForm::Origin | TargetForm::Absolute) {
        let start = target.path.start as usize;
        let path = &mut buf[start..target.path.end as usize];
        head.path = Span::new(start, start + canonicalise(path, bounds.encoded_slash)?);
    }
    Ok(())
}

fn skip_blank_lines(buf: &[u8]) -> Result<usize, Stop> {
    let mut at = 0;
    while let Some(b'\r' | b'\n') = buf.get(at) {
        if at == 2 * MAX_LEADING_BLANK_LINES {
            return Err(Bad::LeadingBlankLines.into());
        }
        at = line_end(buf, at)?;
    }
    Ok(at)
}

/// Reads the method and the space after it.
#[inline(always)]
fn parse_method(buf: &[u8], start: usize) -> Result<(Method, usize), Stop> {
    let bounded = &buf[..buf.len().min(start + MAX_METHOD + 1)];
    let end = token_end(bounded, start);
    if bounded.get(end) != Some(&b' ') || end == start {
        return Err(method_refused(buf, start, end));
    }
    let method = match &buf[start..end] {
        b"GET" => Method::Get,
        b"HEAD" => Method::Head,
        b"POST" => Method::Post,
        b"PUT" => Method::Put,
        b"DELETE" => Method::Delete,
        b"OPTIONS" => Method::Options,
        b"PATCH" => Method::Patch,
        b"TRACE" => Method::Trace,
        b"CONNECT" => Method::Connect,
        _ => Method::Other,
    };
    Ok((method, end))
}

#[cold]
fn method_refused(buf: &[u8], start: usize, end: usize) -> Stop {
    let bad = match buf.get(end) {
        _ if end - start > MAX_METHOD => Bad::MethodTooLong,
        None => return Stop::Incomplete,
        Some(b' ' | b'\t') => Bad::BadRequestLine,
        Some(b'\r') => match line_end(buf, end) {
            Ok(_) => Bad::BadRequestLine,
            Err(stop) => return stop,
        },
        Some(b'\n') => Bad::BareLf,
        Some(0) => Bad::NulByte,
        Some(_) => Bad::BadMethod,
    };
    Stop::Bad(bad)
}

/// Reads the version and the line end after it.
#[inline(always)]
fn parse_version(buf: &[u8], at: usize) -> Result<(Version, usize), Stop> {
    match buf.get(at..at + 10) {
        Some(b"HTTP/1.1\r\n") => Ok((Version::Http11, at + 10)),
        Some(b"HTTP/1.0\r\n") => Ok((Version::Http10, at + 10)),
        _ => Err(version_refused(buf, at)),
    }
}

/// Says what is wrong with a version, byte by byte, since more of it may be to come.
#[cold]
fn version_refused(buf: &[u8], at: usize) -> Stop {
    for (i, wanted) in b"HTTP/d.d".iter().enumerate() {
        match (buf.get(at + i), wanted) {
            (None, _) => return Stop::Incomplete,
            (Some(byte), b'd') if byte.is_ascii_digit() => {}
            (Some(byte), wanted) if byte == wanted && *wanted != b'd' => {}
            (Some(b'\n'), _) => return Bad::BareLf.into(),
            (Some(0), _) => return Bad::NulByte.into(),
            _ => return Bad::BadRequestLine.into(),
        }
    }
    // Minor versions above 1 are refused too: none exists, so the peer is not what it says.
    if !matches!(&buf[at + 5..at + 8], b"1.0" | b"1.1") {
        return Bad::UnsupportedVersion.into();
    }
    match buf.get(at + 8) {
        Some(0x20..=0xff | b'\t') => Bad::BadRequestLine.into(),
        _ => match line_end(buf, at + 8) {
            Ok(_) => Bad::BadRequestLine.into(),
            Err(stop) => stop,
        },
    }
}

/// HTTP/1.0 has no expectations (RFC 9110 section 10.1.1).
fn expects_continue(buf: &[u8], presence: Presence, head: &RequestHead) -> Result<bool, Bad> {
    if head.version == Version::Http10 {
        return Ok(false);
    }
    let value = value(&head.fields, buf, Known::Expect);
    let known = value.eq_ignore_ascii_case(b"100-continue");
    if known && !presence.repeated.contains(Known::Expect) {
        Ok(true)
    } else {
        Err(Bad::UnknownExpectation)
    }
}

/// The Host field's value and its parts.
fn host_field(
    buf: &[u8],
    presence: Presence,
    head: &RequestHead,
) -> Result<Option<(Span, Authority)>, Bad> {
    if presence.repeated.contains(Known::Host) {
        return Err(Bad::RepeatedHost);
    }
    match first(&head.fields, Known::Host) {
        Some(field) => Ok(Some((field.value, parse_authority(field.value.of(buf))?))),
        None if head.version == Version::Http10 => Ok(None),
        None => Err(Bad::MissingHost),
    }
}

/// Chooses the target's authority where it has one, else Host. RFC 9112 section 3.2.2 has Host
/// ignored in the first case; it must agree here, since a server behind may read the other one.
fn place_host(
    buf: &mut [u8],
    host: Option<(Span, Authority)>,
    target: &Target,
    head: &mut RequestHead,
) -> Result<(), Bad> {
    let (span, parts) = match (target.authority, host) {
        (Some(authority), Some(host)) if !agree(buf, &authority, host) => {
            return Err(Bad::HostMismatch);
        }
        (Some(authority), _) => (authority.span, authority.parts),
        (None, Some(host)) => host,
        (None, None) => {
            (head.host, head.authority) = (Span::default(), Span::default());
            return Ok(());
        }
    };
    let start = span.start as usize;
    head.host = Span::new(start, start + parts.host_len);
    head.authority = span;
    buf[start..start + parts.host_len].make_ascii_lowercase();
    Ok(())
}

fn agree(buf: &[u8], target: &TargetAuthority, (span, host): (Span, Authority)) -> bool {
    let port = |parts: Authority| parts.port.unwrap_or(target.default_port);
    let names = (&target.span.of(buf)[..target.parts.host_len], &span.of(buf)[..host.host_len]);
    names.0.eq_ignore_ascii_case(names.1) && port(target.parts) == port(host)
}
