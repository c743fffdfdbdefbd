//! The task that looks after one issuer's keys.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ClientConfig;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::AbortHandle;

use super::fetch::{Answer, Http};
use super::told::Told;
use crate::config::{Jwt, JwtAlgorithm, JwtKeys, JwtUrl};
use crate::io::clock;
use crate::limits::{JWKS_REFRESH_RANGE, JWKS_RETRY};
use crate::policy::auth::jwt::{Asking, KeySet};

/// Keys that came, and where it is told that they are in force.
pub struct News {
    /// Which of `[jwt.NAME]`.
    pub name: Arc<str>,
    /// The keys.
    pub keys: Arc<KeySet>,
    /// Who asked for them.
    pub asking: Arc<Asking>,
    /// Told when they are in force.
    pub done: oneshot::Sender<()>,
}

/// Looks after one issuer's keys for as long as it lives.
pub(super) struct Keeper {
    pub(super) asking: Arc<Asking>,
    waiting: Mutex<Option<Work>>,
    running: Mutex<Option<AbortHandle>>,
}

struct Work {
    name: Arc<str>,
    http: Http,
    url: JwtUrl,
    algorithms: Vec<JwtAlgorithm>,
    asked: Arc<Notify>,
    /// The text of the keys in force.
    text: Vec<u8>,
}

impl Keeper {
    /// Not started yet; `None`: the keys are not with an issuer.
    pub(super) fn new(name: &str, rules: &Jwt, tls: Arc<ClientConfig>) -> Option<Self> {
        let JwtKeys::Url(url) = &rules.keys else { return None };
        let asked = Arc::new(Notify::new());
        let tell = asked.clone();
        let pause = u64::try_from(url.refetch.as_nanos()).unwrap_or(u64::MAX);
        let asking = Asking::new(pause, Box::new(move || tell.notify_one()));
        let work = Work {
            name: name.into(),
            http: Http::new(&url.url, url.timeout, &tls),
            url: url.clone(),
            algorithms: rules.algorithms.clone(),
            asked,
            text: Vec::new(),
        };
        Some(Self {
            asking: Arc::new(asking),
            waiting: Mutex::new(Some(work)),
            running: Mutex::default(),
        })
    }

    /// Starts it, unless it runs.
    pub(super) fn start(&self, news: &mpsc::Sender<News>, told: &Told) {
        let work = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(work) = work {
            let task = tokio::spawn(work.keep(self.asking.clone(), news.clone(), told.clone()));
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            *running = Some(task.abort_handle());
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let running = self.running.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = running.take() {
            task.abort();
        }
    }
}

impl Work {
    async fn keep(mut self, asking: Arc<Asking>, news: mpsc::Sender<News>, told: Told) {
        let mut failures = 0;
        loop {
            let result = match self.http.ask().await {
                Ok(answer) => self.take(answer, &asking, &news, &told).await,
                Err(why) => Err(why),
            };
            let pause = match result {
                Ok(fresh) => {
                    failures = 0;
                    self.until_stale(fresh)
                }
                Err(why) => {
                    failures += 1;
                    told.failed(&self.name, &why);
                    let (jwt, url) = (&*self.name, &*self.url.url);
                    tracing::warn!(
                        jwt,
                        url,
                        failures,
                        "keys can't be had, the last ones hold: {why}"
                    );
                    self.until_retry(failures)
                }
            };
            asking.done(clock::now_ns());
            tokio::select! {
                () = tokio::time::sleep(jittered(pause)) => {}
                () = self.asked.notified() => {}
            }
        }
    }

    /// Has new keys put in force; how long the issuer says that they hold.
    async fn take(
        &mut self,
        answer: Answer,
        asking: &Arc<Asking>,
        news: &mpsc::Sender<News>,
        told: &Told,
    ) -> Result<Option<Duration>, String> {
        if self.text != *answer.text {
            let keys = KeySet::read(&answer.text, &self.algorithms);
            let keys = Arc::new(keys.map_err(|why| why.text().to_owned())?);
            tell_left_out(&self.name, &keys);
            tracing::info!(jwt = &*self.name, keys = keys.len(), "keys came");
            told.keys(&self.name, keys.len());
            let (done, in_force) = oneshot::channel();
            let (name, asking) = (self.name.clone(), asking.clone());
            // The gateway stops where nobody takes them.
            let _ = news.send(News { name, keys, asking, done }).await;
            let _ = in_force.await;
            self.text = answer.text.to_vec();
        }
        told.came(&self.name);
        Ok(answer.fresh)
    }

    fn until_stale(&self, fresh: Option<Duration>) -> Duration {
        let asked = fresh.map_or(self.url.refresh, |time| time.max(self.url.refetch));
        asked.clamp(*JWKS_REFRESH_RANGE.start(), *JWKS_REFRESH_RANGE.end())
    }

    fn until_retry(&self, failures: u32) -> Duration {
        let doubled = JWKS_RETRY.start().saturating_mul(1 << (failures - 1).min(16));
        doubled.min(*JWKS_RETRY.end()).min(self.url.refresh)
    }
}

/// Up to a tenth less, so that many gateways do not ask at once.
fn jittered(time: Duration) -> Duration {
    time.mul_f64(1.0 - fastrand::f64() / 10.0)
}

/// Tells which keys of a set are not used, and why.
fn tell_left_out(name: &str, keys: &KeySet) {
    for (id, unfit) in keys.left_out() {
        tracing::warn!(jwt = name, key = &**id, "a key is left out: it is {}", unfit.text());
    }
}
