//! The answer's way from the target to the client.

use crate::http::grpc::status;
use crate::http::h1::{Asked, BodyReader, Scan, parse_response};
use crate::http::h2::heads::{Switch, decode};
use crate::http::h2::machine::Unsent;
use crate::http::upgrade::answer_to;
use crate::http::{Bad, Framing, Known, ResponseHead, Version, first};
use crate::io::deadline::Expired;
use crate::io::{Buffer, Expiry, Stream, clock, splice};
use crate::limits::{
    BUFFER_LARGE, BUFFER_MEDIUM, BUFFER_SMALL, HEAD_ROOM, MAX_INTERIM, RESPONSE_CHUNK_EXTENSION,
    SPLICE_MIN,
};
use crate::respond::failure::Failure;
use crate::respond::head::{self, Content, Outgoing};
use crate::upstream::h2::{Answer, Lost};
use crate::upstream::{Carrier, Cause, Connection, Target};

use super::account::Account;
use super::downstream::Downstream;

use super::ending::{Broken, Done, lost, lost_stream};
use super::h2::ClientStream;
use super::pump::{End, Inlet, Outlet, Pump, Stop, Wire};
use super::task::Fate;
use super::way::{Progress, Way};
use super::{grpc, upgrade};

/// The answer's way from the target to the client.
pub(super) struct Download<'a, 'w, 'v> {
    pub(super) way: &'a Way<'w, 'v>,
    pub(super) carrier: &'a Carrier,
    pub(super) target: &'a Target,
    pub(super) progress: &'a Progress,
    /// Nothing else is pending on either connection.
    pub(super) alone: bool,
    /// The target's last answer was a large one.
    pub(super) large: bool,
}

impl Download<'_, '_, '_> {
    pub(super) async fn run(
        &mut self,
        answer: &mut Buffer,
        reply: &mut Buffer,
        response: &mut ResponseHead,
        account: &mut Account,
    ) -> Result<Done, Broken> {
        let sent_ns = clock::coarse_ns();
        match self.carrier {
            Carrier::Connection(connection) => {
                self.read_lines(connection, answer, reply, response).await?;
            }
            Carrier::Stream(stream) => {
                let mut interim = 0;
                loop {
                    let come = stream.answer(answer).await;
                    if self.take_fields(come, interim, answer, response)? {
                        break;
                    }
                    interim += 1;
                    self.pass_interim(answer, reply, response).await?;
                }
            }
        }
        self.progress.answered.set(true);
        let now = clock::coarse_ns();
        account.response_ns = now.saturating_sub(sent_ns);
        account.status = response.status;
        grpc::note_answer(self.way.request, response, answer.data(), account);
        if let Some((_, product)) = self.way.request.product {
            product.read_amounts(&response.fields, answer.data(), &mut account.grown);
        }
        let core = &self.way.request.connection.core;
        core.stats.target(self.target.id).record(response.status, account.response_ns);
        let route = core.stats.route(self.way.request.route_id);
        route.expect_end(now.saturating_sub(account.began_ns));
        if let Framing::Length(n) = response.framing {
            // What a medium buffer can't hold is read at once; still more is spliced.
            let medium = (BUFFER_MEDIUM - 2 * HEAD_ROOM) as u64;
            let large = n > medium && n <= medium + SPLICE_MIN;
            core.upstreams.note_answer(self.target.id, large);
        }
        if response.status == 101 {
            return Box::pin(self.switch(answer, reply, response, account)).await;
        }
        let connects = self.way.request.upgrade.is_some() && self.way.request.stream.is_some();
        if connects && (200..300).contains(&response.status) {
            // The client would take it for the tunnel (RFC 8441 section 4).
            return Err(self.bad(Bad::BadUpgrade));
        }
        let translation =
            grpc::translation(self.way.request, account).filter(|_| !self.has_no_trailers());
        let content = match translation {
            Some(_) => Content::open(self.way.head.version),
            None => Content::of(response, self.way.head.version),
        };
        let close = self.way.last
            || self.way.request.is_unwelcome()
            || !self.progress.uploaded.get()
            || content == Content::UntilClose;
        *reply = Buffer::small();
        self.encode(answer, reply, response, content, close);
        answer.consume(response.len);
        let refused = self.way.request.upgrade.is_some();
        let done = Done {
            fate: match close {
                true if refused => Fate::Linger,
                true => Fate::Close,
                false => Fate::Keep,
            },
            // Who refuses an upgrade and who only says so can't be told apart.
            reusable: response.keep_alive && response.framing != Framing::UntilClose && !refused,
        };
        let downstream = self.way.request.downstream();
        let mut ended = false;
        if let Downstream::Stream(stream) = downstream {
            ended = content.is_none() && self.has_no_trailers();
            account.bytes_out += reply.len() as u64;
            self.begin_stream(stream, reply, ended)?;
        }
        let Some(outlet) = downstream.outlet().filter(|_| !ended) else { return Ok(done) };
        let mut pump = self.pump(response, content, outlet);
        pump.translation = translation;
        let result = pump.run(answer, reply).await;
        account.bytes_out += pump.written;
        account.content_out += pump.told();
        if self.way.request.grpc.is_some() {
            let (trailers, buf) = pump.reader.trailers();
            account.grpc_status = status(trailers, buf).or(account.grpc_status);
        }
        if let Err(stop) = result {
            return Err(Broken::during(self.failure(stop), self.progress.begun.get()));
        }
        Ok(done)
    }

    /// Content that is empty may yet be followed by trailers, from a stream.
    fn has_no_trailers(&self) -> bool {
        match self.carrier {
            Carrier::Connection(_) => true,
            Carrier::Stream(stream) => stream.download().is_at_end(),
        }
    }

    /// Sends the answer's head, which leaves `reply` empty.
    pub(super) fn begin_stream(
        &self,
        stream: &ClientStream,
        reply: &mut Buffer,
        ended: bool,
    ) -> Result<(), Broken> {
        let head = std::mem::take(reply);
        stream.head(head.data(), ended).map_err(unsent)?;
        self.progress.begun.set(true);
        Ok(())
    }

    /// Writes a head that stands for itself.
    pub(super) async fn write_reply(&mut self, reply: &mut Buffer) -> Result<(), Broken> {
        let client = match self.way.request.downstream() {
            Downstream::Connection(client) => client,
            Downstream::Stream(stream) => {
                return stream.interim(std::mem::take(reply).data()).map_err(unsent);
            }
        };
        let at = clock::coarse_ns().saturating_add(self.way.rules.idle_ns);
        client.guard.arm(at.min(self.way.total_at_ns), Expiry::ShutBoth);
        self.progress.begun.set(true);
        let (result, _) = client.stream.write_all(std::mem::take(reply)).await;
        client.guard.disarm();
        result.map_err(|_| Broken::during(Failure::ClientGone, true))
    }

    /// Reads the head that came from a stream after some `interim` ones. True: it is the final one.
    fn take_fields(
        &self,
        come: Result<Answer, Lost>,
        interim: u32,
        answer: &mut Buffer,
        response: &mut ResponseHead,
    ) -> Result<bool, Broken> {
        let ended = match come {
            Ok(Answer::Interim) if interim >= MAX_INTERIM => {
                return Err(self.bad(Bad::HeadTooLarge));
            }
            Ok(Answer::Interim) => None,
            Ok(Answer::Final(ended)) => Some(ended),
            Err(why) => return Err(lost_stream(self.way, self.carrier, why, interim > 0)),
        };
        clock::now_ns();
        let (way, upgrade) = (self.way, self.way.request.upgrade);
        let to = Asked { method: way.head.method, upgrade: upgrade.is_some() };
        let max = way.group.max_response_head;
        let accept = upgrade.and_then(|_| answer_to(way.head, way.buf));
        let switch = upgrade.map(|protocol| Switch { protocol, accept });
        let switch = switch.as_ref().filter(|_| ended.is_some());
        let no_content = ended != Some(false);
        let mut read =
            answer.append_with(|buf| decode::response(no_content, max, to, switch, buf, response));
        if read.is_ok() && response.status == 101 {
            read = upgrade::check_answer(way, response, answer.data());
        }
        read.map_err(|bad| self.bad(bad))?;
        Ok(ended.is_some())
    }

    fn bad(&self, bad: Bad) -> Broken {
        Broken::during(Failure::BadResponse(bad), self.progress.begun.get())
    }

    /// Reads up to the final head from a connection; interim answers are passed on as they come.
    async fn read_lines(
        &mut self,
        connection: &Connection,
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
                            return Err(self.bad(Bad::HeadTooLarge));
                        }
                        self.pass_interim(answer, reply, response).await?;
                        answer.consume(response.len);
                        scan = Scan::default();
                        continue;
                    }
                    Ok(false) => answer.reserve(BUFFER_SMALL),
                    Err(bad) => return Err(self.bad(bad)),
                }
            }
            if answer.capacity() == 0 {
                *answer = Buffer::at_most(if self.large { BUFFER_LARGE } else { BUFFER_MEDIUM });
                answer.set_headroom(HEAD_ROOM);
            }
            let (result, back) = connection.stream.read(std::mem::take(answer)).await;
            *answer = back;
            clock::now_ns();
            match result {
                Ok(n) if n > 0 => {}
                end => {
                    let answered = !answer.is_empty() || interim > 0;
                    let mut broken = lost(self.way, self.carrier, answered);
                    broken.begun = self.progress.begun.get();
                    if let (Failure::ClosedEarly, Err(error)) = (broken.failure, end)
                        && let Some(cause) = Cause::of_refusal(&error)
                    {
                        broken.failure = Failure::NoTls(cause);
                    }
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
        let location = self.way.location(self.target);
        head::interim(response, answer.data(), edits, &location, reply.writer());
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
            grpc_web: self.way.request.grpc.map(|call| call.answered).filter(|d| d.is_web()),
            close,
            edits: self.way.request.route().response_edits(),
            values: self.way.values,
            location: &self.way.location(self.target),
            hidden: self.way.request.product.map(|(_, product)| &product.counted_names),
            forward: &self.way.rules.forward,
            fields: &self.way.request.answer_fields,
        }
        .encode(reply.writer());
    }

    fn pump<'p>(
        &'p self,
        response: &ResponseHead,
        content: Content,
        outlet: Outlet<'p>,
    ) -> Pump<'p> {
        let downstream = self.way.request.downstream();
        let listener = self.way.request.listener;
        let inlet = Inlet::of(self.carrier);
        let announced = match response.framing {
            Framing::Length(n) => n,
            _ => 0,
        };
        Pump {
            from: End {
                side: inlet,
                guard: self.carrier.guard(),
                idle_ns: self.way.rules.idle_ns,
                min_rate: 0,
                grace_ns: 0,
                total_at_ns: self.way.total_at_ns,
                expiry: self.carrier.expiry(),
            },
            to: End {
                side: outlet,
                guard: downstream.guard(),
                idle_ns: self.way.rules.idle_ns,
                min_rate: listener.body_min_rate,
                grace_ns: listener.body_grace_ns,
                total_at_ns: self.way.total_at_ns,
                expiry: downstream.expiry_of_writing(),
            },
            withheld: None,
            reader: match self.carrier {
                Carrier::Connection(_) => {
                    BodyReader::new(response.framing, RESPONSE_CHUNK_EXTENSION)
                }
                Carrier::Stream(_) => BodyReader::streamed(),
            },
            wire: match (outlet, content) {
                (Outlet::Stream(_), _) => Wire::Streamed,
                (Outlet::Socket(_), Content::Chunked) => Wire::Chunked,
                (Outlet::Socket(_), _) => Wire::Plain,
            },
            may_splice: self.splices(inlet, outlet, content),
            limit: self.most_content(response),
            announced,
            translation: None,
            company: self.way.company(self.progress),
            begun: &self.progress.begun,
            passed: 0,
            written: 0,
        }
    }

    /// A stream's frames may bring content where there is none by the answer's head: to a client of
    /// HTTP/1.1 it would be the next answer.
    fn most_content(&self, response: &ResponseHead) -> u64 {
        match (self.carrier, response.framing) {
            (Carrier::Stream(_), Framing::None) => 0,
            _ => u64::MAX,
        }
    }

    /// The two connections, where the kernel may move the content from one to the other.
    fn splices<'s>(
        &self,
        inlet: Inlet<'s>,
        outlet: Outlet<'s>,
        content: Content,
    ) -> Option<[&'s Stream; 2]> {
        let (Inlet::Socket(from), Outlet::Socket(to)) = (inlet, outlet) else { return None };
        let sized = self.alone && matches!(content, Content::Length(_)) && splice::is_useful();
        (sized && from.tls().is_none() && to.tls().is_none()).then_some([from, to])
    }

    /// What it means that the answer's content stopped.
    fn failure(&self, stop: Stop) -> Failure {
        let gone = self.carrier.guard().expired() == Some(Expired::PartnerGone);
        match stop {
            _ if gone => Failure::ClientGone,
            Stop::SenderBad(bad) => Failure::BadResponse(bad),
            Stop::SenderSlow if clock::coarse_ns() >= self.way.total_at_ns => Failure::TotalTimeout,
            Stop::SenderSlow => Failure::ResponseTimeout,
            Stop::TooLarge => Failure::BadResponse(Bad::UnexpectedFraming),
            Stop::ReaderClosed | Stop::ReaderSlow => Failure::ClientGone,
            Stop::SenderClosed => Failure::ResponseIncomplete,
        }
    }
}

/// Why a head did not reach the client.
fn unsent(why: Unsent) -> Broken {
    match why {
        Unsent::Bad(bad) => Broken::during(Failure::BadResponse(bad), false),
        Unsent::Gone => Broken::during(Failure::ClientGone, true),
    }
}
