//! Names to ids.
//!
//! Control gives every listener, route, upstream and target a small id by its name. A name keeps
//! its id through reloads, so its counters go on. A name that a reload removed keeps its id for as
//! long as any snapshot that named it lives (its [`Hold`] says so); after that nobody can write to
//! the id's counters, control zeroes them, and the id may stand for another name.

use std::collections::HashMap;
use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, Weak};

use super::blocks::{ListenerStats, RouteStats, TargetStats, UpstreamStats};
use super::worker::WorkerStats;
use crate::limits;

/// What an id stands for. Each kind has its own ids from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A listener.
    Listener,
    /// A route.
    Route,
    /// An upstream.
    Upstream,
    /// A target of an upstream.
    Target,
}

/// More names than ids, those being retired included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full {
    /// Of what.
    pub kind: Kind,
    /// How many there may be.
    pub max: u32,
}

impl std::fmt::Display for Full {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "more than {} {:?} names with counters", self.max, self.kind)
    }
}

/// The names of one configuration, in its order.
#[derive(Debug, Clone, Default)]
pub struct Names<'a> {
    /// Listener names.
    pub listeners: Vec<&'a str>,
    /// Route names.
    pub routes: Vec<&'a str>,
    /// Upstream names, each with its targets' addresses.
    pub upstreams: Vec<(&'a str, Vec<String>)>,
}

/// A name and its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its id.
    pub id: u32,
    /// Its name.
    pub name: Arc<str>,
}

/// An upstream, its id and its targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamEntry {
    /// The upstream itself.
    pub entry: Entry,
    /// Its targets: ids and addresses.
    pub targets: Vec<Entry>,
}

/// Names and ids of one configuration, in its order: what stats are shown by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Directory {
    /// Listeners.
    pub listeners: Vec<Entry>,
    /// Routes.
    pub routes: Vec<Entry>,
    /// Upstreams with their targets.
    pub upstreams: Vec<UpstreamEntry>,
}

/// Keeps the ids of one [`Assignment`] from being reused. Whatever may still write to one of them
/// (a snapshot, a pool that outlives it) keeps a clone.
#[derive(Debug)]
pub struct Hold {
    number: u64,
}

/// The ids of one configuration.
#[derive(Debug, Clone)]
pub struct Assignment {
    /// Ids in the order of the names.
    pub directory: Arc<Directory>,
    /// To be kept wherever these ids are used.
    pub hold: Arc<Hold>,
}

/// Which name has which id. Control's own; workers see ids only.
#[derive(Debug)]
pub struct Registry {
    listeners: Space,
    routes: Space,
    upstreams: Space,
    targets: Space,
    assignments: u64,
    /// Earlier assignments that something may still use, oldest first.
    earlier: Vec<Weak<Hold>>,
    latest: Assignment,
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            listeners: Space::new(Kind::Listener, limits::STATS_MAX_LISTENERS),
            routes: Space::new(Kind::Route, limits::STATS_MAX_ROUTES),
            upstreams: Space::new(Kind::Upstream, limits::STATS_MAX_UPSTREAMS),
            targets: Space::new(Kind::Target, limits::STATS_MAX_TARGETS),
            assignments: 0,
            earlier: Vec::new(),
            latest: Assignment { directory: Arc::default(), hold: Arc::new(Hold { number: 0 }) },
        }
    }
}

impl Registry {
    /// Ids for a configuration's names: the old id for a name that has one, else a free one.
    ///
    /// # Errors
    /// [`Full`] when there are more names than ids; the assignment before stays the latest.
    pub fn assign(
        &mut self,
        names: &Names<'_>,
        workers: &[Arc<WorkerStats>],
    ) -> Result<Assignment, Full> {
        self.sweep(workers);
        self.assignments += 1;
        let number = self.assignments;
        let directory = self.name(names, number).inspect_err(|_| {
            self.spaces().into_iter().for_each(|space| space.forget(number));
        })?;
        let next = Assignment { directory: Arc::new(directory), hold: Arc::new(Hold { number }) };
        let before = std::mem::replace(&mut self.latest, next.clone());
        self.earlier.push(Arc::downgrade(&before.hold));
        Ok(next)
    }

    fn name(&mut self, names: &Names<'_>, number: u64) -> Result<Directory, Full> {
        let mut directory = Directory::default();
        for name in &names.listeners {
            directory.listeners.push(self.listeners.entry(name, name, number)?);
        }
        directory.routes.reserve_exact(names.routes.len());
        for name in &names.routes {
            directory.routes.push(self.routes.entry(name, name, number)?);
        }
        for (name, addresses) in &names.upstreams {
            let entry = self.upstreams.entry(name, name, number)?;
            let target = |address: &String| {
                // No name holds a line feed, so the two parts cannot run into one another.
                self.targets.entry(&format!("{name}\n{address}"), address, number)
            };
            let targets = addresses.iter().map(target).collect::<Result<_, _>>()?;
            directory.upstreams.push(UpstreamEntry { entry, targets });
        }
        Ok(directory)
    }

    fn spaces(&mut self) -> [&mut Space; 4] {
        [&mut self.listeners, &mut self.routes, &mut self.upstreams, &mut self.targets]
    }

    /// The latest assignment's names and ids.
    pub fn directory(&self) -> Arc<Directory> {
        Arc::clone(&self.latest.directory)
    }

    /// Frees the ids that nothing can use any more and zeroes their counters. Cheap when no name
    /// was removed.
    pub fn sweep(&mut self, workers: &[Arc<WorkerStats>]) {
        self.earlier.retain(|hold| hold.strong_count() > 0);
        let alive = self.earlier.iter().find_map(Weak::upgrade);
        let oldest = alive.map_or(self.latest.hold.number, |hold| hold.number);
        // Pairs with the release in the drop of the last clone: what its owner counted comes
        // before the zeroes that follow.
        fence(Ordering::Acquire);
        self.spaces().into_iter().for_each(|space| space.sweep(oldest, workers));
    }
}

#[derive(Debug, Clone, Copy)]
struct Named {
    id: u32,
    /// The assignment that made it.
    first: u64,
    /// The last assignment that named it.
    last: u64,
}

/// The ids of one kind.
#[derive(Debug)]
struct Space {
    kind: Kind,
    max: u32,
    names: HashMap<Arc<str>, Named>,
    free: Vec<u32>,
    next: u32,
    /// The oldest assignment the last sweep had to spare: with the same one there is nothing new.
    swept: u64,
}

impl Space {
    fn new(kind: Kind, max: u32) -> Self {
        Self { kind, max, names: HashMap::new(), free: Vec::new(), next: 0, swept: 0 }
    }

    fn entry(&mut self, key: &str, shown: &str, assignment: u64) -> Result<Entry, Full> {
        let (name, named) = match self.names.get_key_value(key) {
            Some((name, named)) => (Arc::clone(name), Named { last: assignment, ..*named }),
            None => {
                (key.into(), Named { id: self.free_id()?, first: assignment, last: assignment })
            }
        };
        self.names.insert(Arc::clone(&name), named);
        Ok(Entry { id: named.id, name: if key == shown { name } else { shown.into() } })
    }

    /// Takes back the ids that a refused assignment made: nobody has seen them.
    fn forget(&mut self, assignment: u64) {
        let free = &mut self.free;
        self.names.retain(|_, named| {
            let keep = named.first != assignment;
            if !keep {
                free.push(named.id);
            }
            keep
        });
    }

    fn free_id(&mut self) -> Result<u32, Full> {
        if let Some(id) = self.free.pop() {
            return Ok(id);
        }
        if self.next == self.max {
            return Err(Full { kind: self.kind, max: self.max });
        }
        self.next += 1;
        Ok(self.next - 1)
    }

    fn sweep(&mut self, oldest: u64, workers: &[Arc<WorkerStats>]) {
        if self.swept == oldest {
            return;
        }
        self.swept = oldest;
        let (kind, free) = (self.kind, &mut self.free);
        self.names.retain(|_, named| {
            let used = named.last >= oldest;
            if !used {
                workers.iter().for_each(|worker| zero(worker, kind, named.id));
                free.push(named.id);
            }
            used
        });
    }
}

/// Zeroes an id's counters. Only right once nothing names the id any more.
fn zero(worker: &WorkerStats, kind: Kind, id: u32) {
    match kind {
        Kind::Listener => worker.listeners.peek(id).map(ListenerStats::zero),
        Kind::Route => worker.route(id).map(RouteStats::zero),
        Kind::Upstream => worker.upstreams.peek(id).map(UpstreamStats::zero),
        Kind::Target => worker.targets.peek(id).map(TargetStats::zero),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes<'a>(names: &[&'a str]) -> Names<'a> {
        Names { routes: names.to_vec(), ..Names::default() }
    }

    fn ids(assignment: &Assignment) -> Vec<u32> {
        assignment.directory.routes.iter().map(|e| e.id).collect()
    }

    #[test]
    fn ids_survive_reloads_whatever_the_order() {
        let mut registry = Registry::default();
        let first = registry.assign(&routes(&["a", "b", "c"]), &[]).unwrap();
        let second = registry.assign(&routes(&["c", "new", "a"]), &[]).unwrap();
        assert_eq!(ids(&first), [0, 1, 2]);
        assert_eq!(ids(&second), [2, 3, 0]);
        assert_eq!(*registry.directory(), *second.directory);
    }

    #[test]
    fn an_id_is_reused_only_when_no_snapshot_names_it_and_it_was_zeroed() {
        let mut registry = Registry::default();
        let workers = [WorkerStats::new(0)];
        let writer = workers[0].writer().unwrap();
        let first = registry.assign(&routes(&["a", "b"]), &workers).unwrap();
        writer.route(1).record(200, 1, 1, 1);
        let second = registry.assign(&routes(&["a"]), &workers).unwrap();
        // `first` still lives, so "b" keeps id 1.
        let third = registry.assign(&routes(&["a", "c"]), &workers).unwrap();
        assert_eq!(ids(&third), [0, 2]);
        writer.route(1).record(200, 1, 1, 1);
        assert_eq!(writer.route(1).ok(), 2);
        drop(first);
        drop(second);
        let fourth = registry.assign(&routes(&["a", "c", "d"]), &workers).unwrap();
        assert_eq!(ids(&fourth), [0, 2, 1]);
        assert_eq!(writer.route(1).ok(), 0);
    }

    #[test]
    fn a_name_that_comes_back_in_time_goes_on_counting() {
        let mut registry = Registry::default();
        let workers = [WorkerStats::new(0)];
        let writer = workers[0].writer().unwrap();
        let first = registry.assign(&routes(&["a", "b"]), &workers).unwrap();
        writer.route(1).record(200, 1, 1, 1);
        registry.assign(&routes(&["a"]), &workers).unwrap();
        let third = registry.assign(&routes(&["b", "a"]), &workers).unwrap();
        assert_eq!(ids(&third), [1, 0]);
        drop(first);
        registry.sweep(&workers);
        assert_eq!(writer.route(1).ok(), 1);
    }

    #[test]
    fn too_many_names_are_refused_and_freed_again() {
        let mut registry =
            Registry { listeners: Space::new(Kind::Listener, 2), ..Default::default() };
        let listeners =
            |names: &[&'static str]| Names { listeners: names.to_vec(), ..Names::default() };
        let full = registry.assign(&listeners(&["a", "b", "c"]), &[]).unwrap_err();
        assert_eq!(full, Full { kind: Kind::Listener, max: 2 });
        assert!(registry.directory().listeners.is_empty());
        registry.assign(&listeners(&["x", "y"]), &[]).unwrap();
        assert_eq!(registry.directory().listeners.len(), 2);
    }

    #[test]
    fn the_same_address_in_two_upstreams_is_two_targets() {
        let mut registry = Registry::default();
        let address = || vec!["10.0.0.1:80".to_string()];
        let names =
            Names { upstreams: vec![("a", address()), ("b", address())], ..Names::default() };
        let assignment = registry.assign(&names, &[]).unwrap();
        let [a, b] = &assignment.directory.upstreams[..] else { panic!() };
        assert_ne!(a.targets[0].id, b.targets[0].id);
        assert_eq!(&*a.targets[0].name, "10.0.0.1:80");
    }
}
