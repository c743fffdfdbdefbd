//! Looks after the certificates of all names, one name at a time, whichever is due first.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use instant_acme::{Account, CertificateIdentifier};
use tokio::sync::{mpsc, watch};

use super::client::Http;
use super::failure::{Failure, Kind};
use super::order::Ordering;
use super::proof::Proofs;
use super::publish::{Publisher, Wish};
use super::told::Told;
use super::{Wanted, account, renewal};
use crate::control::tls::Given;
use crate::limits::{ACME_LONGEST_SLEEP, ACME_ORDER};
use crate::store;

/// Runs for the life of the gateway; `changes` is what is wanted.
pub(super) async fn keep(
    mut changes: watch::Receiver<Option<Wanted>>,
    wishes: mpsc::Sender<Wish>,
    told: Told,
) {
    let publisher = Publisher::new(wishes);
    loop {
        let wanted = changes.borrow_and_update().clone();
        told.keep(wanted.iter().flat_map(|wanted| &wanted.names));
        let mut keeper = wanted.map(|wanted| Keeper::new(wanted, &publisher, &told));
        // Only sleeping is given up for a change: what was begun with the server is ended.
        loop {
            let pause = keeper.as_ref().map_or(ACME_LONGEST_SLEEP, |keeper| keeper.pause(now()));
            tokio::select! {
                changed = changes.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return,
                },
                () = tokio::time::sleep(pause) => {}
            }
            if let Some(keeper) = &mut keeper {
                keeper.tend_next(now()).await;
            }
        }
    }
}

/// Seconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Looks after names for one configuration.
struct Keeper<'a> {
    wanted: Wanted,
    publisher: &'a Publisher,
    told: &'a Told,
    http: Http,
    /// The account, while the server is content with it.
    account: Option<Account>,
    names: BTreeMap<String, Name>,
}

/// What is known of a name.
#[derive(Default)]
struct Name {
    /// When something is to be done for it.
    due: i64,
    /// When the next certificate was planned for; `None`: not yet.
    renew_at: Option<i64>,
    /// The window that the server suggested.
    window: Option<(i64, i64)>,
    /// When the next may be asked for at the earliest.
    not_before: i64,
}

impl Name {
    /// When a new certificate is asked for; where nobody knows, at once.
    fn renew_at(&self) -> i64 {
        self.renew_at.unwrap_or(0).max(self.not_before)
    }
}

impl<'a> Keeper<'a> {
    fn new(wanted: Wanted, publisher: &'a Publisher, told: &'a Told) -> Self {
        let names = wanted.names.iter().map(|name| (name.clone(), Name::default())).collect();
        let http = Http::new(&wanted.tls);
        Self { wanted, publisher, told, http, account: None, names }
    }

    /// How long nothing is due. Clocks are set, so it is asked again after a while.
    fn pause(&self, now: i64) -> Duration {
        let soonest = self.names.values().map(|name| name.due).min().unwrap_or(i64::MAX);
        let seconds = u64::try_from(soonest.saturating_sub(now)).unwrap_or(0);
        Duration::from_secs(seconds).min(ACME_LONGEST_SLEEP)
    }

    async fn tend_next(&mut self, now: i64) {
        let due = self.names.iter().filter(|(_, name)| name.due <= now);
        let Some(name) = due.min_by_key(|(_, name)| name.due).map(|(name, _)| name.clone()) else {
            return;
        };
        let has = self.wanted.stored(&name);
        let wait = match self.tend(&name, has.as_ref()).await {
            Ok(wait) => wait,
            Err(failure) => self.after(&name, &failure),
        };
        if let Some(known) = self.names.get_mut(&name) {
            known.due = self::now().saturating_add(seconds(wait));
        }
    }

    /// Does what is due for a name; tells how long nothing else is.
    async fn tend(&mut self, name: &str, has: Option<&Given>) -> Result<Duration, Failure> {
        let now = now();
        let Some(given) = has else {
            return self.renew(name, None).await;
        };
        let again = self.plan(name, given, now).await;
        let renew_at = self.names.get(name).map_or(now, Name::renew_at);
        self.told.has(name, given.validity().not_after, renew_at);
        if renew_at <= now {
            return self.renew(name, Some(given)).await;
        }
        Ok(again.min(Duration::from_secs(renew_at.abs_diff(now))))
    }

    /// Finds out when a certificate is to be renewed; tells when to ask again.
    async fn plan(&mut self, name: &str, given: &Given, now: i64) -> Duration {
        let (window, again) = match self.window(given).await {
            Ok((window, again)) => (Some(window), renewal::ask_again(Some(again))),
            Err(failure) => {
                tracing::debug!(name, why = failure.why, "no renewal information");
                (None, renewal::ask_again(None))
            }
        };
        let Some(known) = self.names.get_mut(name) else { return again };
        let chance = fastrand::f64();
        match window {
            // What was chosen once stands as long as the window does.
            Some(window) if known.window != Some(window) => {
                known.renew_at = Some(renewal::in_window(window, chance));
                known.window = Some(window);
            }
            None if known.renew_at.is_none() => {
                let validity = given.validity();
                let at = renewal::by_life(validity.not_before, validity.not_after, chance);
                known.renew_at = Some(at);
            }
            _ => {}
        }
        let renew_in = known.renew_at.map(|at| at.saturating_sub(now));
        tracing::debug!(name, ?renew_in, "renewal planned");
        again
    }

    /// The window that the server suggests, and when to ask again (RFC 9773).
    async fn window(&mut self, given: &Given) -> Result<((i64, i64), Duration), Failure> {
        let id = identifier(given).ok_or_else(|| {
            Failure::new(Kind::Certificate, "it does not name the key that signed it")
        })?;
        let account = self.account().await?;
        let asked = tokio::time::timeout(ACME_ORDER, account.renewal_info(&id)).await;
        let asked = asked.map_err(|_| late())?;
        let (info, again) = asked.map_err(|error| Failure::of(&error, &self.http.heard()))?;
        let window = info.suggested_window;
        Ok(((window.start.unix_timestamp(), window.end.unix_timestamp()), again))
    }

    /// Gets a new certificate, stores and publishes it.
    async fn renew(&mut self, name: &str, old: Option<&Given>) -> Result<Duration, Failure> {
        let got = tokio::time::timeout(ACME_ORDER, self.order(name, old)).await;
        let got = got.unwrap_or_else(|_| Err(late())).and_then(|got| self.take(name, &got));
        // What proved the name is taken back, and what came is shown, in one.
        let published = self.publisher.publish(Proofs::default()).await;
        let given = got?;
        published?;
        self.told.obtained(name);
        let (now, not_after) = (now(), given.validity().not_after);
        tracing::info!(name, days = given.validity().days_left(now), "a certificate came");
        let not_before = renewal::not_before(now, not_after);
        self.names.insert(name.to_owned(), Name { not_before, ..Name::default() });
        // Its own renewal is to be planned.
        Ok(Duration::ZERO)
    }

    async fn order(
        &mut self,
        name: &str,
        old: Option<&Given>,
    ) -> Result<store::Certificate, Failure> {
        let account = self.account().await?;
        let failed_before = self.told.failures(name) > 0;
        // A server that can't place the old one must not keep us from a new one.
        let known = self.names.get(name).is_some_and(|name| name.window.is_some());
        let replaces = old.filter(|_| known && !failed_before).and_then(identifier);
        let challenge = self.wanted.settings.challenge;
        let (http, publisher) = (&self.http, self.publisher);
        Ordering { account: &account, http, name, challenge, replaces, publisher }.run().await
    }

    /// Stores a certificate that can be used.
    fn take(&self, name: &str, got: &store::Certificate) -> Result<Given, Failure> {
        let given = Given::fresh(&got.chain, &got.key, name, now())
            .map_err(|why| Failure::new(Kind::Certificate, why))?;
        self.wanted.store.set_acme_certificate(&self.wanted.settings.directory, name, got)?;
        Ok(given)
    }

    async fn account(&mut self) -> Result<Account, Failure> {
        if let Some(account) = &self.account {
            return Ok(account.clone());
        }
        let made = tokio::time::timeout(ACME_ORDER, account::account(&self.wanted, &self.http));
        let account = made.await.unwrap_or_else(|_| Err(late()))?;
        Ok(self.account.insert(account).clone())
    }

    /// Tells of a failure, and how long nothing is tried after it.
    fn after(&mut self, name: &str, failure: &Failure) -> Duration {
        // Addresses of the server's resources are looked up anew.
        self.account = None;
        if failure.account_is_gone
            && let Err(failure) = account::forget(&self.wanted)
        {
            tracing::error!(why = failure.why, "the account can't be forgotten");
        }
        let failures = self.told.failed(name, failure);
        let pause = renewal::pause(failures, failure.retry_after, fastrand::f64());
        let (kind, why, again_in_s) = (failure.kind.name(), &failure.why, pause.as_secs());
        tracing::error!(name, kind, why, again_in_s, "no certificate came");
        pause
    }
}

fn late() -> Failure {
    Failure::new(Kind::Server, format!("the server took more than {} s", ACME_ORDER.as_secs()))
}

fn identifier(given: &Given) -> Option<CertificateIdentifier<'static>> {
    CertificateIdentifier::try_from(given.der()?).ok().map(CertificateIdentifier::into_owned)
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}
