//! One request and its answer, over what carries them to one target and back.

use crate::http::grpc::Dialect;
use crate::http::grpc::web::Translation;
use crate::http::h1::BodyReader;
use crate::http::h2::machine::{Asking, Unsent};
use crate::http::{Framing, Method, ResponseHead};
use crate::io::join::until_second;
use crate::io::{Buffer, Partner, clock};
use crate::multiplexed::Outbound;
use crate::respond::failure::Failure;
use crate::upstream::retry::Sent;
use crate::upstream::{Carrier, Connection, Target, TargetStream};

use super::account::Account;
use super::download::Download;
use super::downstream::Downstream;
use super::ending::{Broken, Done, lost};
use super::pump::{End, Outlet, Pump, Stop, Wire};
use super::scratch::Upload;
use super::task::Fate;
use super::way::{Progress, Way};
use super::withheld::Withheld;

/// The buffers of an exchange.
pub(super) struct Exchange<'a> {
    /// Request content apart from the head: streamed, or whole with room in front.
    pub(super) body: &'a mut Buffer,
    /// From the target.
    pub(super) answer: &'a mut Buffer,
    /// To the target.
    pub(super) out: &'a mut Buffer,
    /// To the client.
    pub(super) reply: &'a mut Buffer,
    pub(super) response: &'a mut ResponseHead,
}

/// Sends the request (its head is in `out`) and passes the answer on.
pub(super) async fn run(
    way: &Way<'_, '_>,
    x: &mut Exchange<'_>,
    carrier: Carrier,
    upload: Upload,
    target: &Target,
    account: &mut Account,
) -> Result<Fate, Broken> {
    carrier.guard().watch_partner(way.request.downstream().partner());
    let result = match (&carrier, upload) {
        (_, Upload::None) | (Carrier::Connection(_), Upload::Whole(_)) => {
            simplex(way, x, &carrier, upload, target, account).await
        }
        _ => Box::pin(duplex(way, x, &carrier, upload, target, account)).await,
    };
    carrier.guard().watch_partner(Partner::Nobody);
    let core = &way.request.connection.core;
    match result {
        Ok(done) => {
            if let Carrier::Connection(connection) = carrier {
                let known = core.snapshot().targets.contains(&connection.target);
                if done.reusable && x.answer.is_empty() && known {
                    way.keep(connection);
                }
            }
            *x.answer = Buffer::empty();
            Ok(done.fate)
        }
        Err(broken) => {
            *x.answer = Buffer::empty();
            if !matches!(broken.sent, Sent::OnReused | Sent::Refused) {
                core.stats.target(target.id).failures.up();
            }
            Err(broken)
        }
    }
}

/// The content is at hand: send all at once, then read the answer.
async fn simplex(
    way: &Way<'_, '_>,
    x: &mut Exchange<'_>,
    carrier: &Carrier,
    upload: Upload,
    target: &Target,
    account: &mut Account,
) -> Result<Done, Broken> {
    if let Upload::Whole(n) = upload {
        account.content_in = n as u64;
    }
    let core = &way.request.connection.core;
    let at = clock::coarse_ns().saturating_add(way.rules.first_byte_ns).min(way.total_at_ns);
    carrier.guard().arm(at, carrier.expiry());
    match carrier {
        Carrier::Connection(connection) => {
            let result = send(way, x, connection, upload).await;
            result.map_err(|_| lost(way, carrier, false))?;
        }
        Carrier::Stream(stream) => {
            begin_stream(way, x, stream, upload)?;
        }
    }
    let progress = Progress::default();
    progress.uploaded.set(true);
    let large = core.upstreams.answers_large(target.id);
    let mut download = Download { way, carrier, target, progress: &progress, alone: true, large };
    download.run(x.answer, x.reply, x.response, account).await
}

/// Sends head and content in one write. Content that is apart stays as it was, to be sent again.
async fn send(
    way: &Way<'_, '_>,
    x: &mut Exchange<'_>,
    connection: &Connection,
    upload: Upload,
) -> std::io::Result<()> {
    let head = x.out.len();
    let apart = upload != Upload::None && head <= x.body.prefix() && !x.body.is_empty();
    let message = if apart {
        x.body.put_in_front(x.out.data());
        &mut *x.body
    } else {
        match upload {
            Upload::Whole(_) if !x.body.is_empty() => x.out.append(x.body.data()),
            Upload::Whole(n) => x.out.append(&way.buf[way.head.len..way.head.len + n]),
            Upload::None | Upload::Stream => {}
        }
        &mut *x.out
    };
    let (result, back) = connection.stream.write_all(std::mem::take(message)).await;
    if apart {
        *x.body = back;
        x.body.consume(head);
    }
    *x.out = Buffer::empty();
    result
}

/// The content is sent while the answer may already come.
async fn duplex(
    way: &Way<'_, '_>,
    x: &mut Exchange<'_>,
    carrier: &Carrier,
    upload: Upload,
    target: &Target,
    account: &mut Account,
) -> Result<Done, Broken> {
    let client = way.request.connection;
    let (progress, nobody) = (Progress::default(), Progress::default());
    // Each direction has deadlines of its own.
    let downstream = way.request.downstream();
    let from_guard = match downstream {
        Downstream::Connection(connection) => client.core.watch.guard(connection.stream.fd()),
        Downstream::Stream(_) => client.core.watch.stream_guard(),
    };
    let to_guard = match carrier {
        Carrier::Connection(connection) => client.core.watch.guard(connection.stream.fd()),
        Carrier::Stream(_) => client.core.watch.stream_guard(),
    };
    let side = match carrier {
        Carrier::Connection(connection) => Outlet::Socket(&connection.stream),
        Carrier::Stream(stream) => Outlet::Stream(begin_stream(way, x, stream, upload)?),
    };
    let listener = way.request.listener;
    let translated = way.request.grpc.is_some_and(|call| call.asked == Dialect::WebText);
    let mut pump = Pump {
        from: End {
            side: downstream.inlet(),
            guard: &from_guard,
            idle_ns: way.rules.idle_ns,
            // Who says nothing for a while in a stream is not slow.
            min_rate: if way.is_streaming_call() { 0 } else { listener.body_min_rate },
            grace_ns: listener.body_grace_ns,
            total_at_ns: way.total_at_ns,
            expiry: downstream.expiry_of_reading(),
        },
        to: End {
            side,
            guard: &to_guard,
            idle_ns: way.rules.idle_ns,
            min_rate: 0,
            grace_ns: 0,
            total_at_ns: way.total_at_ns,
            expiry: carrier.expiry(),
        },
        reader: body_reader(way, upload),
        withheld: Some(Withheld {
            told: way.request.told(),
            edits: way.rules.request_edits.as_ref(),
        }),
        wire: match carrier {
            Carrier::Stream(_) => Wire::Streamed,
            Carrier::Connection(_) if way.head.framing == Framing::Chunked => Wire::Chunked,
            Carrier::Connection(_) => Wire::Plain,
        },
        may_splice: None,
        limit: way.request.route().max_body,
        announced: match way.head.framing {
            Framing::Length(n) => n,
            _ => 0,
        },
        translation: translated.then(Translation::from_text),
        company: way.company(&progress),
        begun: &nobody.begun,
        passed: 0,
        written: 0,
    };
    let large = client.core.upstreams.answers_large(target.id);
    let mut download = Download { way, carrier, target, progress: &progress, alone: false, large };
    let mut whole = whole_content(way, x, upload);
    let body = if upload == Upload::Stream { &mut *x.body } else { &mut whole };
    let halves = {
        let upload = async {
            let result = pump.run(body, x.out).await;
            if result == Err(Stop::ReaderSlow) {
                progress.target_slow.set(true);
                if !progress.answered.get() {
                    // A connection was shut down for that; a stream's answer is to be given up, too.
                    carrier.guard().arm(clock::coarse_ns(), carrier.expiry());
                }
            }
            if result.is_ok() {
                progress.uploaded.set(true);
            }
            if result.is_ok() && !progress.answered.get() {
                let at = clock::coarse_ns().saturating_add(way.rules.first_byte_ns);
                carrier.guard().arm(at.min(way.total_at_ns), carrier.expiry());
            }
            result
        };
        carrier.guard().arm(way.total_at_ns, carrier.expiry());
        let download = download.run(x.answer, x.reply, x.response, account);
        until_second(upload, download, |r| r.is_err_and(Stop::is_senders)).await
    };
    account.content_in += pump.passed;
    let begun = progress.begun.get();
    match halves.second {
        Some(Ok(mut done)) => {
            let whole = matches!(halves.first, Some(Ok(())));
            if !whole {
                done.fate = Fate::Linger;
                done.reusable = false;
            }
            Ok(done)
        }
        // What the target did not read is why it gave no answer.
        Some(Err(broken)) if progress.target_slow.get() && !broken.begun => {
            Err(Broken::during(Failure::FirstByteTimeout, false))
        }
        Some(Err(broken)) => Err(broken),
        None => {
            let failure = match halves.first {
                Some(Err(stop)) => upload_failure(stop, way),
                _ => Failure::ClientGone,
            };
            Err(Broken::during(failure, begun))
        }
    }
}

/// Sends the head that is in `out`.
fn begin_stream<'s>(
    way: &Way<'_, '_>,
    x: &mut Exchange<'_>,
    stream: &'s TargetStream,
    upload: Upload,
) -> Result<&'s Outbound, Broken> {
    let upgrade = way.request.upgrade;
    if upgrade.is_some() && !stream.may_tunnel() {
        return Err(Broken::before(Failure::NoTunnel));
    }
    let ended = upload == Upload::None && upgrade.is_none();
    // Content that is streamed was not touched either.
    let sent = if upload == Upload::Stream { Sent::Nothing } else { Sent::Refused };
    let refused = Broken { failure: Failure::ClosedEarly, sent, begun: false };
    let asks_head = way.head.method == Method::Head;
    let (lines, secure) = (x.out.data(), stream.is_secure());
    let begun = stream.request(&Asking { lines, secure, upgrade, ended, asks_head });
    begun.map_err(|why| match why {
        Unsent::Bad(bad) => Broken::before(Failure::BadRequest(bad)),
        Unsent::Gone => refused,
    })?;
    *x.out = Buffer::empty();
    stream.upload().ok_or(refused)
}

/// Content that is at hand and may have to be sent again: a copy.
fn whole_content(way: &Way<'_, '_>, x: &Exchange<'_>, upload: Upload) -> Buffer {
    let mut whole = Buffer::empty();
    if let Upload::Whole(n) = upload {
        whole = Buffer::fitting(n);
        match x.body.is_empty() {
            true => whole.append(&way.buf[way.head.len..way.head.len + n]),
            false => whole.append(x.body.data()),
        }
    }
    whole
}

/// Reads the request's content from the client.
fn body_reader(way: &Way<'_, '_>, upload: Upload) -> BodyReader {
    match way.request.stream {
        Some(_) if upload == Upload::Stream => BodyReader::streamed(),
        _ => way.body_reader(),
    }
}

/// What it means that the client's content stopped.
fn upload_failure(stop: Stop, way: &Way<'_, '_>) -> Failure {
    match stop {
        Stop::SenderBad(bad) => Failure::BadRequestBody(bad),
        Stop::SenderSlow if clock::coarse_ns() >= way.total_at_ns => Failure::TotalTimeout,
        Stop::SenderSlow => Failure::BodyTimeout,
        Stop::TooLarge => Failure::BodyTooLarge,
        _ => Failure::ClientGone,
    }
}
