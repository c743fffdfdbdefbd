//! Answers that the gateway makes itself, written to the client.

use crate::http::grpc::Code;
use crate::http::{Framing, Method, Version};
use crate::io::{Buffer, Expiry, clock};
use crate::policy::auth::forward_auth::{Refused, Verdict};
use crate::policy::transform::Redirect;
use crate::respond::failure::Failure;
use crate::respond::own::{self, Asker, Manner, Own, TrailersOnly};
use crate::snapshot::Fixed;

use super::downstream::Downstream;
use super::scratch::{Scratch, Upload};
use super::task::{Fate, PathParameters, Request};

/// A fixed response. A gRPC call that comes to nothing by it is told so in gRPC's own way.
pub(super) async fn fixed(
    r: &mut Request<'_>,
    s: &mut Scratch,
    fixed: &Fixed,
) -> Result<Fate, Failure> {
    let mut fields = std::mem::take(&mut r.answer_fields);
    append_edits(r, s, &mut fields);
    let fate = fate_after(r, s, false);
    r.account.status = fixed.status;
    let out = match r.grpc.filter(|_| fixed.status >= 400) {
        Some(call) => {
            let (code, text) = (Code::of_http(fixed.status), String::from_utf8_lossy(&fixed.body));
            r.account.grpc_status = Some(code.number());
            let (dialect, message, fields) = (call.answered, text.trim(), &fields[..]);
            let own = TrailersOnly { dialect, code, message, fields };
            compose(r, s, fate, |manner, out| own.encode(manner, out))
        }
        None => {
            let Fixed { status, body, content_type } = fixed;
            let own = Own { status: *status, content_type, body, fields: &fields };
            compose(r, s, fate, |manner, out| own.encode(manner, out))
        }
    };
    Ok(send(r, out, fate).await)
}

/// `OPTIONS *`: a question to the gateway itself (RFC 9110 section 9.3.7).
pub(super) async fn options(r: &mut Request<'_>, s: &mut Scratch) -> Result<Fate, Failure> {
    let fields = b"Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH\r\n";
    let fate = fate_after(r, s, false);
    let own = Own { status: 204, content_type: "", body: b"", fields };
    let out = compose(r, s, fate, |manner, out| own.encode(manner, out));
    r.account.status = 204;
    Ok(send(r, out, fate).await)
}

/// What proves a name to an ACME server (RFC 8555 section 8.3).
pub(super) async fn proof(
    r: &mut Request<'_>,
    s: &mut Scratch,
    proof: &str,
) -> Result<Fate, Failure> {
    let fate = fate_after(r, s, false);
    let content_type = "application/octet-stream";
    let own = Own { status: 200, content_type, body: proof.as_bytes(), fields: b"" };
    let out = compose(r, s, fate, |manner, out| own.encode(manner, out));
    r.account.status = 200;
    Ok(send(r, out, fate).await)
}

/// A question about the way, which must go no further (RFC 9110 section 7.6.2).
pub(super) async fn last_hop(r: &mut Request<'_>, s: &mut Scratch) -> Result<Fate, Failure> {
    match s.head.method {
        Method::Trace => Err(Failure::TraceMethod),
        _ => options(r, s).await,
    }
}

/// A redirect.
pub(super) async fn redirect(
    r: &mut Request<'_>,
    s: &mut Scratch,
    status: u16,
    redirect: &Redirect,
) -> Result<Fate, Failure> {
    let mut fields = std::mem::take(&mut r.answer_fields);
    fields.extend_from_slice(b"Location: ");
    with_values(r, s, |values| redirect.write(values, &mut fields));
    fields.extend_from_slice(b"\r\n");
    append_edits(r, s, &mut fields);
    let fate = fate_after(r, s, false);
    let own = Own { status, content_type: "", body: b"", fields: &fields };
    let out = compose(r, s, fate, |manner, out| own.encode(manner, out));
    r.account.status = status;
    Ok(send(r, out, fate).await)
}

/// A failure's answer, where the client can still be given one.
pub(super) async fn failure(r: &mut Request<'_>, s: &mut Scratch, failure: Failure) -> Fate {
    let meaning = failure.meaning();
    r.account.failure = Some(failure);
    r.account.status = meaning.status;
    r.account.grpc_status = r.grpc.map(|_| failure.grpc().number());
    if failure == Failure::ClientGone {
        return Fate::Reset;
    }
    if let Some(answer) = r.judged.take()
        && let Verdict::Refuses(refused) = &answer.verdict
    {
        if r.grpc.is_none() {
            return self::refused(r, s, refused).await;
        }
        refused.append(
            |name| matches!(name, "WWW-Authenticate" | "Retry-After"),
            &mut r.answer_fields,
        );
    }
    let fate = fate_after(r, s, meaning.close);
    let limited_by = r.limited_by.take();
    let asker = Asker {
        takes_json: own::takes_json(&s.head.fields, s.input.data()),
        grpc: r.grpc.map(|call| call.answered),
        request_id: &s.words.request_id,
        gateway: &r.snapshot.name,
        limited_by: limited_by.as_ref().map(|(name, seconds)| (&**name, *seconds)),
    };
    let fields = std::mem::take(&mut r.answer_fields);
    let out = compose(r, s, fate, |manner, out| {
        own::failure(failure, &asker, manner, &fields, out);
    });
    send(r, out, fate).await
}

/// What a service says to a client that it refuses, in its own words.
async fn refused(r: &mut Request<'_>, s: &mut Scratch, refused: &Refused) -> Fate {
    let mut fields = std::mem::take(&mut r.answer_fields);
    refused.append(|_| true, &mut fields);
    let fate = fate_after(r, s, false);
    let Refused { status, content_type, content, .. } = refused;
    let own = Own { status: *status, content_type, body: content, fields: &fields };
    let out = compose(r, s, fate, |manner, out| own.encode(manner, out));
    send(r, out, fate).await
}

fn with_values(
    r: &Request<'_>,
    s: &Scratch,
    use_them: impl FnOnce(&crate::policy::transform::Values<'_>),
) {
    let buf = s.input.data();
    let path = s.head.path.of(buf);
    let parameters = PathParameters { params: &s.params, path };
    let query = r.query_for_upstreams(&s.head, buf, &s.words.query);
    use_them(&r.values(&s.head, buf, query, &s.words.request_id, &parameters));
}

fn append_edits(r: &Request<'_>, s: &Scratch, fields: &mut Vec<u8>) {
    if let Some(edits) = r.route().response_edits() {
        with_values(r, s, |values| edits.append(values, fields));
    }
}

/// What becomes of the connection: kept where the request's content, if any, has been read whole.
fn fate_after(r: &Request<'_>, s: &Scratch, close: bool) -> Fate {
    let read_whole = match (s.upload, s.head.framing) {
        (Some(upload), _) => upload != Upload::Stream,
        (None, Framing::None) => true,
        (None, Framing::Length(n)) => (s.input.len() - s.head.len) as u64 >= n,
        (None, Framing::Chunked | Framing::UntilClose) => false,
    };
    if close || !read_whole || r.upgrade.is_some() {
        Fate::Linger
    } else if r.is_last(s) {
        Fate::Close
    } else {
        Fate::Keep
    }
}

fn compose(
    r: &Request<'_>,
    s: &Scratch,
    fate: Fate,
    encode: impl FnOnce(&Manner<'_>, &mut Vec<u8>),
) -> Buffer {
    let wall = &r.connection.core.wall;
    let mut date = wall.date.borrow_mut();
    let close = fate != Fate::Keep;
    // To one whose version is not known, HTTP/1.1 is spoken.
    let version = match s.head.len {
        0 if r.stream.is_some() => Version::Http2,
        0 => Version::Http11,
        _ => s.head.version,
    };
    let seconds = wall.of(r.account.began_ns) / 1_000_000_000;
    let manner = Manner { method: s.head.method, version, close, date: date.at(seconds) };
    let mut out = Buffer::small();
    encode(&manner, out.writer());
    out
}

async fn send(r: &mut Request<'_>, out: Buffer, fate: Fate) -> Fate {
    let content = own::content_len(out.data());
    r.account.bytes_out += out.len() as u64;
    r.account.content_out += content as u64;
    let at = clock::coarse_ns().saturating_add(r.listener.idle_ns);
    let sent = match r.downstream() {
        Downstream::Connection(c) => {
            c.guard.arm(at, Expiry::ShutBoth);
            c.stream.write_all(out).await.0.is_ok()
        }
        Downstream::Stream(stream) => {
            stream.guard.arm(at, Expiry::Wake);
            let head = out.len() - content;
            stream.answer_with(out, head).await.is_ok()
        }
    };
    if sent { fate } else { Fate::Reset }
}
