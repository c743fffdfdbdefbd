//! Runs questions to services outside: to each service a few at once, others in a bounded queue.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::passwords::Taken;
use crate::limits::{SERVICE_AT_ONCE, SERVICE_QUEUE};
use crate::policy::auth::{Digest, Service};
use crate::session::inquiry::{Answer, Errand};

/// What became of one.
pub(super) struct Done {
    pub(super) service: Arc<Service>,
    pub(super) digest: Digest,
    /// What the service said, or why it said nothing.
    pub(super) result: Result<Answer, String>,
}

pub(super) struct Errands {
    done: mpsc::Sender<Done>,
    /// By the services' names. Those that nothing is asked of are not there.
    lines: HashMap<Arc<str>, Line>,
}

#[derive(Default)]
struct Line {
    running: usize,
    queue: VecDeque<(Instant, Errand)>,
}

impl Errands {
    pub(super) fn new(done: mpsc::Sender<Done>) -> Self {
        Self { done, lines: HashMap::new() }
    }

    pub(super) fn ask(&mut self, errand: Errand) -> Taken {
        let line = self.lines.entry(errand.service.name.clone()).or_default();
        if line.running < SERVICE_AT_ONCE {
            line.running += 1;
            begin(&self.done, errand);
        } else if line.queue.len() < SERVICE_QUEUE {
            line.queue.push_back((Instant::now(), errand));
        } else {
            return Taken::No;
        }
        Taken::Yes
    }

    /// One is done: the next may begin. Those that nobody waits for any more are given back.
    pub(super) fn next(&mut self, service: &Service) -> Vec<Digest> {
        let mut late = Vec::new();
        let Some(line) = self.lines.get_mut(&service.name) else { return late };
        line.running -= 1;
        while let Some((since, errand)) = line.queue.pop_front() {
            // Who asked last waits for as long as the service may take, beside its time in line.
            if since.elapsed() < errand.service.timeout {
                line.running += 1;
                begin(&self.done, errand);
                break;
            }
            late.push(errand.digest);
        }
        if line.running == 0 {
            self.lines.remove(&service.name);
        }
        late
    }
}

fn begin(done: &mpsc::Sender<Done>, errand: Errand) {
    let done = done.clone();
    tokio::spawn(async move {
        let Errand { digest, service, work } = errand;
        // In a task of its own, so that one that panics is answered too.
        let result = tokio::spawn(work).await;
        let result = result.unwrap_or_else(|error| Err(error.to_string()));
        let _ = done.send(Done { service, digest, result }).await;
    });
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn service(name: &str, timeout: Duration) -> Arc<Service> {
        Arc::new(Service::new(name, timeout, [1; 32], 1))
    }

    fn errand(service: &Arc<Service>, answers: bool) -> Errand {
        let work = async move {
            if !answers {
                std::future::pending::<()>().await;
            }
            Err("no".to_owned())
        };
        Errand { digest: [0; 32], service: service.clone(), work: Box::pin(work) }
    }

    #[tokio::test]
    async fn each_service_has_a_bounded_line_of_its_own() {
        let (done, mut heard) = mpsc::channel(1);
        let long = Duration::from_secs(60);
        let (slow, quick) = (service("slow", long), service("quick", long));
        let mut errands = Errands::new(done);
        for _ in 0..SERVICE_AT_ONCE + SERVICE_QUEUE {
            assert_eq!(errands.ask(errand(&slow, false)), Taken::Yes);
        }
        assert_eq!(errands.ask(errand(&slow, false)), Taken::No);
        assert_eq!(errands.ask(errand(&quick, true)), Taken::Yes);
        let done = heard.recv().await.unwrap();
        assert_eq!((&*done.service.name, done.result.unwrap_err()), ("quick", "no".to_owned()));
        assert!(errands.next(&quick).is_empty());
        assert_eq!(errands.lines.len(), 1);
    }

    #[tokio::test]
    async fn what_waited_too_long_is_not_asked_any_more() {
        let (done, _heard) = mpsc::channel(1);
        for (timeout, late) in [(Duration::ZERO, 3), (Duration::from_secs(60), 0)] {
            let (mut errands, slow) = (Errands::new(done.clone()), service("slow", timeout));
            for _ in 0..SERVICE_AT_ONCE + 3 {
                errands.ask(errand(&slow, false));
            }
            assert_eq!(errands.next(&slow).len(), late);
            assert_eq!(errands.lines["slow"].running, SERVICE_AT_ONCE - usize::from(late > 0));
            assert_eq!(errands.lines["slow"].queue.len(), if late > 0 { 0 } else { 2 });
        }
    }
}
