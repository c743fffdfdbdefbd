//! The request target (RFC 9112 section 3.2): its four forms, path, query and authority.

use super::Bad;
use super::stop::{Stop, line_end};
use crate::http::bytes::{TARGET_QUERY, TARGET_STOP, TARGET_WORK, target_class};
use crate::http::head::{Method, Span, TargetForm};
use crate::http::host::{Authority, parse_authority};

/// A target's bytes: from, to, and where its first `?` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RawTarget {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) question: Option<usize>,
    /// Holds a `%` or `.` before the query: the path may not be canonical.
    pub(super) work: bool,
}

/// A target taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) form: TargetForm,
    pub(super) path: Span,
    /// Absolute and authority form only.
    pub(super) authority: Option<TargetAuthority>,
}

/// Authority within a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TargetAuthority {
    pub(super) span: Span,
    pub(super) parts: Authority,
    /// The port meant where none is written.
    pub(super) default_port: u16,
}

/// Finds the target's end: the space before the version.
#[inline(always)]
pub(super) fn scan_target(buf: &[u8], start: usize, max: usize) -> Result<RawTarget, Stop> {
    let bounded = &buf[..buf.len().min(start.saturating_add(max).saturating_add(1))];
    let (mut at, mut seen) = (start, 0);
    while at < bounded.len() {
        let class = target_class(bounded[at]);
        if class & (TARGET_STOP | TARGET_QUERY) != 0 {
            break;
        }
        seen |= class;
        at += 1;
    }
    let mut question = None;
    if bounded.get(at) == Some(&b'?') {
        question = Some(at);
        while at < bounded.len() && target_class(bounded[at]) & TARGET_STOP == 0 {
            at += 1;
        }
    }
    if bounded.get(at) != Some(&b' ') || at == start {
        return Err(target_refused(buf, start, at, max));
    }
    Ok(RawTarget { start, end: at, question, work: seen & TARGET_WORK != 0 })
}

#[cold]
fn target_refused(buf: &[u8], start: usize, at: usize, max: usize) -> Stop {
    let bad = match buf.get(at) {
        _ if at - start > max => Bad::UriTooLong,
        None => return Stop::Incomplete,
        Some(b'#') => Bad::TargetFragment,
        Some(b' ' | b'\t') => Bad::BadRequestLine,
        Some(b'\r') => match line_end(buf, at) {
            Ok(_) if at == start => Bad::BadRequestLine,
            Ok(_) => Bad::MissingVersion,
            Err(stop) => return stop,
        },
        Some(b'\n') => Bad::BareLf,
        Some(0) => Bad::NulByte,
        Some(_) => Bad::BadTargetByte,
    };
    Stop::Bad(bad)
}

/// Takes the target apart. Nothing is changed yet, but for the cases in [`empty_path`].
pub(super) fn split_target(buf: &mut [u8], raw: RawTarget, method: Method) -> Result<Target, Bad> {
    let bytes = &buf[raw.start..raw.end];
    let path_end = raw.question.unwrap_or(raw.end);
    if method == Method::Connect {
        return connect_target(bytes, raw);
    }
    if bytes[0] == b'/' {
        let path = Span::new(raw.start, path_end);
        return Ok(Target { form: TargetForm::Origin, path, authority: None });
    }
    if bytes == b"*" {
        return match method {
            Method::Options => {
                let path = Span::new(raw.start, raw.end);
                Ok(Target { form: TargetForm::Asterisk, path, authority: None })
            }
            _ => Err(Bad::AsteriskMethod),
        };
    }
    absolute_target(buf, raw, path_end, method)
}

fn connect_target(bytes: &[u8], raw: RawTarget) -> Result<Target, Bad> {
    let parts = parse_authority(bytes).map_err(|_| Bad::BadConnectTarget)?;
    let default_port = parts.port.ok_or(Bad::BadConnectTarget)?;
    let span = Span::new(raw.start, raw.end);
    let authority = Some(TargetAuthority { span, parts, default_port });
    Ok(Target { form: TargetForm::Authority, path: Span::new(raw.start, raw.start), authority })
}

fn absolute_target(
    buf: &mut [u8],
    raw: RawTarget,
    path_end: usize,
    method: Method,
) -> Result<Target, Bad> {
    let before_query = &buf[raw.start..path_end];
    let colon = before_query.windows(3).position(|w| w == b"://").ok_or(Bad::BadTargetForm)?;
    let default_port = match &before_query[..colon] {
        s if s.eq_ignore_ascii_case(b"http") => 80,
        s if s.eq_ignore_ascii_case(b"https") => 443,
        _ => return Err(Bad::BadScheme),
    };
    let start = raw.start + colon + 3;
    let rest = &buf[start..path_end];
    let end = start + rest.iter().position(|b| *b == b'/').unwrap_or(rest.len());
    let parts = parse_authority(&buf[start..end])?;
    let span = Span::new(start, end);
    let authority = Some(TargetAuthority { span, parts, default_port });
    let (form, path) = if end < path_end {
        (TargetForm::Absolute, Span::new(end, path_end))
    } else {
        empty_path(buf, start, raw.question.is_none() && method == Method::Options)
    };
    Ok(Target { form, path, authority })
}

/// An absolute target without a path means `/`, or `*` with OPTIONS and no query (RFC 9112
/// section 3.2.4). Neither stands in the buffer, so the second slash of `://` serves.
fn empty_path(buf: &mut [u8], authority: usize, asterisk: bool) -> (TargetForm, Span) {
    let path = Span::new(authority - 1, authority);
    if !asterisk {
        return (TargetForm::Absolute, path);
    }
    buf[authority - 1] = b'*';
    (TargetForm::Asterisk, path)
}
