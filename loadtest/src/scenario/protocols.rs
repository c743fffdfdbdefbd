//! The scenarios of TLS, HTTP/2, gRPC and WebSocket.

use std::sync::Arc;

use super::{SOURCES, WARM_UP_NS, World, closing, get, simple};
use crate::backend::{Size, body_byte};
use crate::client::{Talk, Workload};
use crate::engine::Pace;
use crate::histogram::Histogram;
use crate::http2::{Exchange, Scheme};
use crate::http2_backend::REPLY;
use crate::peer::{Hello, Kind, Peer};
use crate::report::Bar;
use crate::template::Setup;
use crate::tls::Speaker;
use crate::websocket;

/// Bytes that an idle connection with TLS may hold.
const IDLE_TLS_BAR: f64 = 7.0 * 1024.0;
/// Connections of HTTP/2, each with as many streams as an exchange says.
const H2_CONNECTIONS: usize = 8;
/// Connections of WebSocket.
const SOCKETS: usize = 500;
/// Bytes of a call's message: a small request of a few fields.
const CALL: usize = 64;

const HTTP1: &str = "http/1.1";
const H2: &str = "h2";

impl World<'_> {
    pub(super) fn run_protocol(&mut self, scenario: &str) -> Result<(), String> {
        match scenario {
            "tls" => self.tls(),
            "tls_handshake" => self.tls_handshake(),
            "tls_resume" => self.tls_resume(),
            "tls_1m" => self.tls_1m(),
            "tls_idle" => self.tls_idle(),
            "h2" => self.h2("h2", Setup::H2, "HTTP/1.1 upstream"),
            "h2_h2c" => self.h2("h2_h2c", Setup::H2c, "h2c upstream"),
            "grpc" => self.grpc(),
            "websocket" => self.websocket(),
            _ => Err("no such scenario".into()),
        }
    }

    fn tls(&mut self) -> Result<(), String> {
        let (mut peers, workload) = self.secured(Setup::Tls, get("/orders/1"), Size::Small)?;
        let bars = vec![Bar::better_of_peers(0.65)];
        let label = "GET 1 KiB over TLS 1.3, 64 connections".into();
        let plan = self.plan("tls", label, &workload, 64, bars);
        self.measure(&mut peers, plan)
    }

    fn tls_1m(&mut self) -> Result<(), String> {
        let (mut peers, workload) = self.secured(Setup::TlsBig, get("/files/1m"), Size::Large)?;
        let bars = vec![Bar::better_of_peers(0.75)];
        let label = "GET 1 MiB over TLS 1.3, 16 connections".into();
        let mut plan = self.plan("tls_1m", label, &workload, 16, bars);
        if !self.options.smoke {
            // As with big1m; here an answer takes several times as long.
            plan.slice_ms *= 4;
            plan.cycles = plan.cycles.div_ceil(4).max(5);
        }
        self.measure(&mut peers, plan)
    }

    fn tls_handshake(&mut self) -> Result<(), String> {
        let request = closing("GET /orders/1 HTTP/1.1\r\nHost: api.example.com\r\n");
        let (mut peers, mut workload) = self.secured(Setup::Tls, request, Size::Small)?;
        workload.fresh = true;
        let bars = vec![Bar::nginx(0.55)];
        let label = "GET 1 KiB, a full TLS 1.3 handshake (P-256) for each, 64 at a time".into();
        let mut plan = self.plan("tls_handshake", label, &workload, 64, bars);
        plan.sources = SOURCES;
        self.measure(&mut peers, plan)
    }

    fn tls_resume(&mut self) -> Result<(), String> {
        let request = closing("GET /orders/1 HTTP/1.1\r\nHost: api.example.com\r\n");
        let (mut peers, workload) = self.secured(Setup::Tls, request, Size::Small)?;
        let mut workloads = Vec::new();
        for peer in &peers {
            // Each proxy has its own tickets.
            let tls = Some(Speaker::resuming(self.identity, HTTP1)?);
            let workload = Workload { fresh: true, tls, ..workload.clone() };
            self.collect_tickets(peer, &workload);
            workloads.push(workload);
        }
        let bars = vec![Bar::better_of_peers(0.8)];
        let label = "GET 1 KiB, a resumed TLS 1.3 handshake for each, 64 at a time".into();
        let mut plan = self.plan("tls_resume", label, &workload, 64, bars);
        plan.sources = SOURCES;
        self.measure_each(&mut peers, plan, &workloads.iter().collect::<Vec<_>>())
    }

    /// A visit in which any handshake will do, so that there is something to resume.
    fn collect_tickets(&mut self, peer: &Peer, workload: &Workload) {
        let tls = workload.tls.as_ref().map(Speaker::lenient);
        let workload = Workload { tls, ..workload.clone() };
        let mut group = self.engine.group(peer.port, 64, SOURCES);
        let mut latencies = Histogram::default();
        let (once, ns) = (Pace::Closed, WARM_UP_NS);
        self.engine.visit(&mut group, &workload, once, ns, &peer.clocks, &mut latencies);
        self.engine.disband(group);
    }

    fn tls_idle(&mut self) -> Result<(), String> {
        let (peers, workload) = self.secured(Setup::Tls, get("/orders/1"), Size::Small)?;
        self.weigh("tls_idle", peers, &workload, IDLE_TLS_BAR)
    }

    /// Starts all proxies that speak TLS; each shows a first client that verifies it that it is ready.
    fn secured(
        &mut self,
        setup: Setup,
        request: Vec<u8>,
        size: Size,
    ) -> Result<(Vec<Peer>, Workload), String> {
        let mut workload = simple(get("/orders/1"), Size::Small);
        workload.tls = Some(Speaker::careful(self.identity, HTTP1)?);
        let kinds = if setup == Setup::Tls { &Kind::HTTP_AND_ENVOY[..] } else { &Kind::HTTP };
        let peers = self.start_with(kinds, setup, Hello::Exchange(&workload))?;
        let tls = Some(Speaker::quick(self.identity, HTTP1)?);
        Ok((peers, Workload { tls, ..simple(request, size) }))
    }

    fn h2(&mut self, scenario: &'static str, setup: Setup, upstream: &str) -> Result<(), String> {
        let answer = (0..Size::Small.bytes()).map(body_byte).collect();
        let exchange = Exchange::get(Scheme::Https, "/orders/12345678", answer);
        let label = format!(
            "GET 1 KiB over h2 and TLS, {upstream}, {H2_CONNECTIONS} connections of {} streams",
            exchange.streams
        );
        self.multiplexed(scenario, setup, exchange, label)
    }

    fn grpc(&mut self) -> Result<(), String> {
        let message = |length| (0..length).map(body_byte).collect::<Vec<u8>>();
        let (call, reply) = (message(CALL), message(REPLY));
        let exchange = Exchange::call(Scheme::Https, "/orders.Orders/Find", &call, &reply);
        let label = format!(
            "gRPC unary over h2 and TLS, h2c upstream, {H2_CONNECTIONS} connections of {} calls",
            exchange.streams
        );
        self.multiplexed("grpc", Setup::Grpc, exchange, label)
    }

    fn multiplexed(
        &mut self,
        scenario: &'static str,
        setup: Setup,
        exchange: Exchange,
        label: String,
    ) -> Result<(), String> {
        let mut workload = Workload { length: exchange.length(), ..Workload::default() };
        workload.talk = Talk::Http2(Arc::new(exchange));
        workload.tls = Some(Speaker::careful(self.identity, H2)?);
        let hello = Hello::Exchange(&workload);
        let mut peers = self.start_with(&Kind::HTTP_AND_ENVOY, setup, hello)?;
        workload.tls = Some(Speaker::quick(self.identity, H2)?);
        let bars = vec![Bar::better_of_peers(0.75)];
        let plan = self.plan(scenario, label, &workload, H2_CONNECTIONS, bars);
        self.measure(&mut peers, plan)
    }

    fn websocket(&mut self) -> Result<(), String> {
        let (length, talk) = (websocket::PAYLOAD, Talk::WebSocket);
        let workload = Workload { length, talk, ..Workload::default() };
        let hello = Hello::Exchange(&workload);
        let mut peers = self.start_with(&Kind::ALL_AND_ENVOY, Setup::WebSocket, hello)?;
        let bars = vec![Bar::better_of_peers(0.8)];
        let label = format!("a frame of {length} bytes and its echo, {SOCKETS} connections");
        let plan = self.plan("websocket", label, &workload, SOCKETS, bars);
        self.measure(&mut peers, plan)
    }
}
