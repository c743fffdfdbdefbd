//! What idle connections hold.

use std::time::Duration;

use super::{SOURCES, WARM_UP_NS, World, get, simple, stop_if_interrupted};
use crate::backend::Size;
use crate::client::Workload;
use crate::engine::{Group, Pace};
use crate::histogram::Histogram;
use crate::peer::{Kind, Peer};
use crate::report::Idle;
use crate::template::Setup;

/// Silence before idle connections are weighed; in a smoke run, where nothing is judged, less.
const SILENCE: Duration = Duration::from_secs(4);
const SMOKE_SILENCE: Duration = Duration::from_secs(1);
/// Bytes that an idle connection may hold.
const IDLE_BAR: f64 = 2048.0;
/// Idle connections send their one request this many at a time.
const IDLE_BATCH: usize = 50;

impl World<'_> {
    pub(super) fn idle(&mut self) -> Result<(), String> {
        let peers = self.start(&Kind::HTTP, Setup::Plain)?;
        let workload = simple(get("/orders/12345678"), Size::Small);
        self.weigh("idle", peers, &workload, IDLE_BAR)
    }

    pub(super) fn weigh(
        &mut self,
        scenario: &'static str,
        mut peers: Vec<Peer>,
        workload: &Workload,
        at_most: f64,
    ) -> Result<(), String> {
        for peer in &mut peers {
            let mut idle = self.weigh_idle(peer, workload)?;
            idle.scenario = scenario;
            idle.at_most = at_most;
            self.report.idle.push(idle);
        }
        let told = self.engine.take_told();
        told.into_iter().for_each(|why| self.report.fail(format!("{scenario}: {why}")));
        self.report.show_idle(scenario);
        Ok(())
    }

    fn weigh_idle(&mut self, peer: &mut Peer, workload: &Workload) -> Result<Idle, String> {
        let mut scratch = Histogram::default();
        let mut warm = self.engine.group(peer.port, IDLE_BATCH, 1);
        let once = Pace::Closed;
        let clocks = peer.clocks.clone();
        self.engine.visit(&mut warm, workload, once, WARM_UP_NS, &clocks, &mut scratch);
        let before = peer.resident();
        let mut groups: Vec<Group> = Vec::new();
        let mut failures = 0;
        while groups.len() * IDLE_BATCH < self.options.idle {
            let mut group = self.engine.group(peer.port, IDLE_BATCH, SOURCES);
            let slice = self.engine.visit(&mut group, workload, once, 0, &clocks, &mut scratch);
            failures += slice.failures;
            groups.push(group);
            stop_if_interrupted()?;
        }
        let cpu = peer.used_ns();
        let silence = if self.options.smoke { SMOKE_SILENCE } else { SILENCE };
        self.engine.rest(silence.as_nanos() as u64);
        let cpu = peer.used_ns() - cpu;
        let open: usize = groups.iter().map(|group| self.engine.open_connections(group)).sum();
        let idle = Idle {
            scenario: "",
            at_most: 0.0,
            ours: peer.kind == Kind::Tollgate,
            name: peer.name.clone(),
            connections: groups.len() * IDLE_BATCH,
            open,
            failures,
            before,
            after: peer.resident(),
            silence_cpu_ns: cpu,
        };
        groups.into_iter().chain([warm]).for_each(|group| self.engine.disband(group));
        self.engine.rest(300_000_000);
        Ok(idle)
    }
}
