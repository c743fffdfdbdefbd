//! One request and its answer over one upstream connection.

use crate::http::h1::{Asked, BodyReader, Scan, parse_response};
use crate::http::{Framing, Known, ResponseHead, Version, first};
use crate::io::deadline::Expired;
use crate::io::join::until_second;
use crate::io::{Buffer, Expiry, clock, splice};
use crate::limits::{
    BUFFER_MEDIUM, BUFFER_SMALL, HEAD_ROOM, MAX_INTERIM, RESPONSE_CHUNK_EXTENSION, SPLICE_MIN,
};
use crate::respond::failure::Failure;
use crate::respond::head::{self, Content, Outgoing};
use crate::upstream::retry::Sent;
use crate::upstream::{Connection, Target};

use super::account::Account;
use super::pump::{End, Pump, Stop, Wire};
use super::scratch::Upload;
use super::task::Fate;
use super::upgrade;
use super::way::{Progress, Way};

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

/// Why a try failed, and how far it got.
#[derive(Debug, Clone, Copy)]
pub(super) struct Broken {
    pub(super) failure: Failure,
    pub(super) sent: Sent,
    /// Bytes of the answer went to the client.
    pub(super) begun: bool,
}

impl Broken {
    /// Before any byte was sent upstream.
    pub(super) fn before(failure: Failure) -> Self {
        Self { failure, sent: Sent::Nothing, begun: false }
    }

    /// While the answer was on its way.
    fn during(failure: Failure, begun: bool) -> Self {
        Self { failure, sent: Sent::ResponseBegun, begun }
    }
}

/// Sends the request (its head is in `out`) and passes the answer on.
pub(super) async fn run(
    way: &Way<'_, '_>,
    x: &mut Exchange<'_>,
    connection: Connection,
    upload: Upload,
    target: &Target,
    account: &mut Account,
) -> Result<Fate, Broken> {
    let core = &way.request.connection.core;
    connection.guard.watch_partner(way.request.connection.stream.fd());
    let result = match upload {
        Upload::Stream => Box::pin(duplex(way, x, &connection, target, account)).await,
        Upload::None | Upload::Whole(_) => {
            simplex(way, x, &connection, upload, target, account).await
        }
    };
    connection.guard.watch_partner(-1);
    match result {
        Ok(done) => {
            let current = core.snapshot();
            let known = current.targets.contains(&connection.target);
            if done.reusable && x.answer.is_empty() && known {
                way.keep(connection);
            }
            *x.answer = Buffer::empty();
            Ok(done.fate)
        }
        Err(broken) => {
            *x.answer = Buffer::empty();
            if broken.sent != Sent::OnReused {
                core.stats.target(target.id).failures.up();
            }
            Err(broken)
        }
    }
}

/// An answer that went out whole.
pub(super) struct Done {
    pub(super) fate: Fate,
    /// Both messages were consumed whole and the target keeps the connection.
    pub(super) reusable: bool,
}

/// The content is at hand: send all at once, then read the answer.
async fn simplex(
    way: &Way<'_, '_>,
    x: &mut Exchange<'_>,
    connection: &Connection,
    upload: Upload,
    target: &Target,
    account: &mut Account,
) -> Result<Done, Broken> {
    if let Upload::Whole(n) = upload {
        account.content_in = n as u64;
    }
    let core = &way.request.connection.core;
    let now = clock::coarse_ns();
    connection
        .guard
        .arm(now.saturating_add(way.rules.first_byte_ns).min(way.total_at_ns), Expiry::ShutBoth);
    let result = send(way, x, connection, upload).await;
    if result.is_err() {
        return Err(lost(way, connection, false));
    }
    let progress = Progress::default();
    progress.uploaded.set(true);
    let large = core.upstreams.answers_large(target.id);
    let mut download =
        Download { way, connection, target, progress: &progress, alone: true, large };
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

/// The content is streamed while the answer may already come.
async fn duplex(
    way: &Way<'_, '_>,
    x: &mut Exchange<'_>,
    connection: &Connection,
    target: &Target,
    account: &mut Account,
) -> Result<Done, Broken> {
    let client = way.request.connection;
    let (progress, nobody) = (Progress::default(), Progress::default());
    // Each direction has deadlines of its own.
    let from_guard = client.core.watch.guard(client.stream.fd());
    let to_guard = client.core.watch.guard(connection.stream.fd());
    let listener = way.request.listener;
    let announced = match way.head.framing {
        Framing::Length(n) => n,
        _ => 0,
    };
    let mut pump = Pump {
        from: End {
            stream: &client.stream,
            guard: &from_guard,
            idle_ns: way.rules.idle_ns,
            min_rate: listener.body_min_rate,
            grace_ns: listener.body_grace_ns,
            total_at_ns: way.total_at_ns,
            expiry: Expiry::ShutRead,
        },
        to: End {
            stream: &connection.stream,
            guard: &to_guard,
            idle_ns: way.rules.idle_ns,
            min_rate: 0,
            grace_ns: 0,
            total_at_ns: way.total_at_ns,
            expiry: Expiry::ShutBoth,
        },
        reader: way.body_reader(),
        wire: if way.head.framing == Framing::Chunked { Wire::Chunked } else { Wire::Plain },
        may_splice: false,
        limit: way.request.route().max_body,
        announced,
        begun: &nobody.begun,
        passed: 0,
        written: 0,
    };
    let large = client.core.upstreams.answers_large(target.id);
    let mut download =
        Download { way, connection, target, progress: &progress, alone: false, large };
    let halves = {
        let upload = async {
            let result = pump.run(x.body, x.out).await;
            if result == Err(Stop::ReaderSlow) {
                progress.target_slow.set(true);
            }
            if result.is_ok() {
                progress.uploaded.set(true);
            }
            if result.is_ok() && !progress.answered.get() {
                let at = clock::coarse_ns().saturating_add(way.rules.first_byte_ns);
                connection.guard.arm(at.min(way.total_at_ns), Expiry::ShutBoth);
            }
            result
        };
        connection.guard.arm(way.total_at_ns, Expiry::ShutBoth);
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

/// The connection ended before an answer: who ended it, and may the request be sent again?
fn lost(way: &Way<'_, '_>, connection: &Connection, answered: bool) -> Broken {
    let failure = match connection.guard.expired() {
        Some(Expired::PartnerGone) => return Broken::during(Failure::ClientGone, false),
        Some(Expired::Deadline) if clock::coarse_ns() >= way.total_at_ns => Failure::TotalTimeout,
        Some(Expired::Deadline) => Failure::FirstByteTimeout,
        None if answered => Failure::ResponseIncomplete,
        None => {
            let sent = if connection.reused { Sent::OnReused } else { Sent::OnFresh };
            return Broken { failure: Failure::ClosedEarly, sent, begun: false };
        }
    };
    Broken::during(failure, false)
}

/// The answer's way from the target to the client.
pub(super) struct Download<'a, 'w, 'v> {
    pub(super) way: &'a Way<'w, 'v>,
    pub(super) connection: &'a Connection,
    pub(super) target: &'a Target,
    progress: &'a Progress,
    /// Nothing else is pending on either connection.
    alone: bool,
    /// The target's last answer was a large one.
    large: bool,
}

impl Download<'_, '_, '_> {
    async fn run(
        &mut self,
        answer: &mut Buffer,
        reply: &mut Buffer,
        response: &mut ResponseHead,
        account: &mut Account,
    ) -> Result<Done, Broken> {
        let sent_ns = clock::coarse_ns();
        self.read_head(answer, reply, response).await?;
        self.progress.answered.set(true);
        account.response_ns = clock::coarse_ns().saturating_sub(sent_ns);
        account.status = response.status;
        let core = &self.way.request.connection.core;
        core.stats.target(self.target.id).record(response.status, account.response_ns);
        if let Framing::Length(n) = response.framing {
            // What a medium buffer can't hold is read at once; still more is spliced.
            let medium = (BUFFER_MEDIUM - 2 * HEAD_ROOM) as u64;
            let large = n > medium && n <= medium + SPLICE_MIN;
            core.upstreams.note_answer(self.target.id, large);
        }
        if response.status == 101 {
            return Box::pin(self.switch(answer, reply, response, account)).await;
        }
        let content = Content::of(response, self.way.head.version);
        let close = self.way.last
            || self.way.request.is_unwelcome()
            || !self.progress.uploaded.get()
            || content == Content::UntilClose;
        *reply = Buffer::small();
        self.encode(answer, reply, response, content, close);
        answer.consume(response.len);
        let mut pump = self.pump(response, content);
        let result = pump.run(answer, reply).await;
        let (written, passed) = (pump.written, pump.passed);
        account.bytes_out += written;
        account.content_out += passed;
        if let Err(stop) = result {
            return Err(Broken::during(self.failure(stop), self.progress.begun.get()));
        }
        let refused = self.way.request.upgrade.is_some();
        Ok(Done {
            fate: match close {
                true if refused => Fate::Linger,
                true => Fate::Close,
                false => Fate::Keep,
            },
            // Who refuses an upgrade and who only says so can't be told apart.
            reusable: response.keep_alive && response.framing != Framing::UntilClose && !refused,
        })
    }

    /// Writes a head that stands for itself.
    pub(super) async fn write_reply(&mut self, reply: &mut Buffer) -> Result<(), Broken> {
        let client = self.way.request.connection;
        let at = clock::coarse_ns().saturating_add(self.way.rules.idle_ns);
        client.guard.arm(at.min(self.way.total_at_ns), Expiry::ShutBoth);
        self.progress.begun.set(true);
        let (result, _) = client.stream.write_all(std::mem::take(reply)).await;
        client.guard.disarm();
        result.map_err(|_| Broken::during(Failure::ClientGone, true))
    }

    /// Reads up to the final head; interim answers are passed on as they come.
    async fn read_head(
        &mut self,
        answer: &mut Buffer,
        reply: &mut Buffer,
        response: &mut ResponseHead,
    ) -> Result<(), Broken> {
        let mut scan = Scan::default();
        let mut interim = 0;
        loop {
            if !answer.is_empty() {
                let max = self.way.group.max_response_head;
                let upgrade = self.way.request.upgrade.is_some();
                let to = Asked { method: self.way.head.method, upgrade };
                let parsed = parse_response(answer.data_mut(), &mut scan, max, to, response);
                match parsed {
                    Ok(true) if response.status >= 200 => return Ok(()),
                    Ok(true) if response.status == 101 => {
                        return upgrade::check_answer(self.way, response, answer.data())
                            .map_err(|bad| Broken::during(Failure::BadResponse(bad), false));
                    }
                    Ok(true) => {
                        interim += 1;
                        if interim > MAX_INTERIM {
                            let bad = crate::http::Bad::HeadTooLarge;
                            return Err(Broken::during(
                                Failure::BadResponse(bad),
                                self.progress.begun.get(),
                            ));
                        }
                        self.pass_interim(answer, reply, response).await?;
                        answer.consume(response.len);
                        scan = Scan::default();
                        continue;
                    }
                    Ok(false) => answer.reserve(BUFFER_SMALL),
                    Err(bad) => {
                        return Err(Broken::during(
                            Failure::BadResponse(bad),
                            self.progress.begun.get(),
                        ));
                    }
                }
            }
            if answer.capacity() == 0 {
                *answer = if self.large { Buffer::large() } else { Buffer::medium() };
                answer.set_headroom(HEAD_ROOM);
            }
            let (result, back) = self.connection.stream.read(std::mem::take(answer)).await;
            *answer = back;
            clock::now_ns();
            match result {
                Ok(n) if n > 0 => {}
                _ => {
                    let answered = !answer.is_empty() || interim > 0;
                    let mut broken = lost(self.way, self.connection, answered);
                    broken.begun = self.progress.begun.get();
                    return Err(broken);
                }
            }
        }
    }

    /// Passes a 1xx answer on; HTTP/1.0 clients know none (RFC 9110 section 15.2).
    async fn pass_interim(
        &mut self,
        answer: &Buffer,
        reply: &mut Buffer,
        response: &ResponseHead,
    ) -> Result<(), Broken> {
        if self.way.head.version == Version::Http10 {
            return Ok(());
        }
        *reply = Buffer::small();
        let edits = self.way.request.route().response_edits();
        head::interim(response, answer.data(), edits, reply.writer());
        self.write_reply(reply).await?;
        // It went out whole, so a final answer may follow, whoever makes it.
        self.progress.begun.set(false);
        Ok(())
    }

    pub(super) fn encode(
        &self,
        answer: &Buffer,
        reply: &mut Buffer,
        response: &ResponseHead,
        content: Content,
        close: bool,
    ) {
        let wall = &self.way.request.connection.core.wall;
        let mut date = wall.date.borrow_mut();
        let dated = first(&response.fields, Known::Date).is_some();
        let seconds = wall.of(clock::coarse_ns()) / 1_000_000_000;
        Outgoing {
            date: (!dated).then(|| date.at(seconds)),
            head: response,
            buf: answer.data(),
            content,
            version: self.way.head.version,
            upgrade: self.way.request.upgrade.filter(|_| response.status == 101),
            close,
            edits: self.way.request.route().response_edits(),
            values: self.way.values,
            location: &self.way.location(self.target),
            forward: &self.way.rules.forward,
            fields: &self.way.request.limit_fields,
        }
        .encode(reply.writer());
    }

    fn pump(&self, response: &ResponseHead, content: Content) -> Pump<'_> {
        let client = self.way.request.connection;
        let listener = self.way.request.listener;
        let announced = match response.framing {
            Framing::Length(n) => n,
            _ => 0,
        };
        Pump {
            from: End {
                stream: &self.connection.stream,
                guard: &self.connection.guard,
                idle_ns: self.way.rules.idle_ns,
                min_rate: 0,
                grace_ns: 0,
                total_at_ns: self.way.total_at_ns,
                expiry: Expiry::ShutBoth,
            },
            to: End {
                stream: &client.stream,
                guard: &client.guard,
                idle_ns: self.way.rules.idle_ns,
                min_rate: listener.body_min_rate,
                grace_ns: listener.body_grace_ns,
                total_at_ns: self.way.total_at_ns,
                expiry: Expiry::ShutBoth,
            },
            reader: BodyReader::new(response.framing, RESPONSE_CHUNK_EXTENSION),
            wire: if content == Content::Chunked { Wire::Chunked } else { Wire::Plain },
            may_splice: self.alone
                && matches!(content, Content::Length(_))
                && splice::is_useful()
                && client.stream.tls().is_none()
                && self.connection.stream.tls().is_none(),
            limit: u64::MAX,
            announced,
            begun: &self.progress.begun,
            passed: 0,
            written: 0,
        }
    }

    /// What it means that the answer's content stopped.
    fn failure(&self, stop: Stop) -> Failure {
        let gone = self.connection.guard.expired() == Some(Expired::PartnerGone);
        match stop {
            _ if gone => Failure::ClientGone,
            Stop::SenderBad(bad) => Failure::BadResponse(bad),
            Stop::SenderSlow if clock::coarse_ns() >= self.way.total_at_ns => Failure::TotalTimeout,
            Stop::SenderSlow => Failure::ResponseTimeout,
            Stop::ReaderClosed | Stop::ReaderSlow | Stop::TooLarge => Failure::ClientGone,
            Stop::SenderClosed => Failure::ResponseIncomplete,
        }
    }
}
