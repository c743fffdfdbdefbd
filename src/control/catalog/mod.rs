//! Who may call, as control has it: the store's rows, the directory that workers have of them, and
//! changes of both.
//!
//! [`directory`] makes the one of the other. A change is one transaction of the store; then the parts
//! of the directory that it touches are made anew and published; and only when every worker has taken
//! that up, the change is answered. So nobody is let in by what was revoked before the answer.

mod directory;
mod slots;
mod upkeep;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::{JoinError, spawn_blocking};

use super::publisher::Publisher;
use super::store_file::StoreFile;
use crate::config::Settings;
use crate::policy::auth::Directory;
use crate::store::catalog::Records;
use crate::store::{ErrorKind, Store, StoreError};

pub use directory::Touched;
pub(super) use directory::each_product;
pub use slots::Slots;
pub(super) use upkeep::keep;

/// Who may call, as control has it.
#[derive(Default)]
pub struct Catalog {
    store: OnceLock<Arc<Store>>,
    publisher: OnceLock<Arc<Publisher>>,
    /// One change at a time, so that directories follow each other as transactions do.
    turn: Mutex<()>,
    /// That of the last change; changes are made of it.
    directory: ArcSwapOption<Directory>,
    /// Whether it lacks what a change touched.
    stale: AtomicBool,
    slots: Arc<Slots>,
}

/// What the configuration declares, stored and about to be in force; changes wait for that.
pub struct Declared<'c> {
    /// To be published with the configuration.
    pub directory: Arc<Directory>,
    catalog: &'c Catalog,
    _turn: MutexGuard<'c, ()>,
}

impl Declared<'_> {
    /// It was published.
    pub fn in_force(self) {
        self.catalog.directory.store(Some(self.directory));
        self.catalog.stale.store(false, Ordering::Relaxed);
    }
}

/// Why a change was not made, or is not in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotDone {
    /// There is no store: no route has a product, and none is declared.
    NoStore,
    /// It was made, but not every worker has taken it up yet.
    NotInForce,
}

impl Catalog {
    /// The store, where there is one.
    pub fn store(&self) -> Option<&Arc<Store>> {
        self.store.get()
    }

    /// Which slots products have.
    pub fn slots(&self) -> &Slots {
        &self.slots
    }

    /// Who publishes from now on.
    pub fn publish_by(&self, publisher: Arc<Publisher>) {
        let _ = self.publisher.set(publisher);
    }

    /// Opens the store where products need it first, or where it is there already.
    ///
    /// # Errors
    /// Where it can't be used.
    pub fn open(&self, settings: &Settings, file: &mut StoreFile) -> Result<(), String> {
        let path = &settings.store.path;
        let found = match self.store.get() {
            Some(_) => None,
            None if settings.has_products() => Some(file.open(path)?),
            None => file.open_existing(path)?,
        };
        if let Some(store) = found {
            self.store.get_or_init(|| store);
        }
        Ok(())
    }

    /// Stores the products that the configuration declares, and makes a directory with them. The last
    /// that may fail before a configuration is in force: what was stored is not taken back.
    ///
    /// # Errors
    /// Where the store can't be used; nothing of them is stored then.
    pub async fn declare(&self, settings: &Settings) -> Result<Declared<'_>, String> {
        let turn = self.turn.lock().await;
        let Some(store) = self.store.get().cloned() else {
            let directory = Arc::new(Directory::empty([0; 32]));
            return Ok(Declared { directory, catalog: self, _turn: turn });
        };
        let (products, slots) = (settings.products.clone(), self.slots.clone());
        let before = self.known(&store);
        let declaring = spawn_blocking(move || {
            store.write(|records| {
                let touched = directory::declare(records, &products, now())?;
                let whose = (store.secret(), &*slots);
                directory::after(before.as_deref(), records, whose, touched, now())
            })
        });
        let made = declaring.await.map_err(|e| e.to_string())?;
        let directory = Arc::new(made.map_err(|why: StoreError| match why.kind() {
            // It says itself which key stands against what there is.
            ErrorKind::Referenced => why.to_string(),
            _ => format!("store.path: {why}"),
        })?);
        Ok(Declared { directory, catalog: self, _turn: turn })
    }

    /// What changes can be made of; `None`: it is not the store's, or lacks something, and all there is
    /// must be read.
    fn known(&self, store: &Store) -> Option<Arc<Directory>> {
        let is_whole = !self.stale.load(Ordering::Relaxed);
        let directory = self.directory.load_full();
        directory.filter(|directory| is_whole && directory.secret == *store.secret())
    }

    /// Makes a change in one transaction, and returns when it is in force on every worker. What the
    /// change touches it says beside its result. Goes on to its end where the caller leaves.
    ///
    /// # Errors
    /// Those of `change`, which then has changed nothing, or why it is not in force.
    pub async fn change<T, E>(
        self: &Arc<Self>,
        change: impl FnOnce(&dyn Records) -> Result<(T, Vec<Touched>), E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + From<NotDone> + Send + 'static,
    {
        let catalog = self.clone();
        let changing = tokio::spawn(async move { catalog.change_in_turn(change).await });
        changing.await.unwrap_or_else(|why| Err(ended(&why).into()))
    }

    async fn change_in_turn<T, E>(
        &self,
        change: impl FnOnce(&dyn Records) -> Result<(T, Vec<Touched>), E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + From<NotDone> + Send + 'static,
    {
        let _turn = self.turn.lock().await;
        let (store, publisher) =
            self.store.get().zip(self.publisher.get()).ok_or(NotDone::NoStore)?;
        let (store, slots) = (store.clone(), self.slots.clone());
        let before = self.known(&store);
        let changing = spawn_blocking(move || {
            let (result, touched) = store.write(change)?;
            let after = match touched.is_empty() && before.is_some() {
                true => Ok(None),
                false => store.read(|records| {
                    let whose = (store.secret(), &*slots);
                    directory::after(before.as_deref(), records, whose, touched, now()).map(Some)
                }),
            };
            Ok::<_, E>((result, after))
        });
        let (result, after) = changing.await.unwrap_or_else(|why| Err(ended(&why).into()))?;
        self.stale.store(after.is_err(), Ordering::Relaxed);
        let everywhere = match after? {
            Some(directory) => {
                let directory = Arc::new(directory);
                self.directory.store(Some(directory.clone()));
                publisher.directory(directory).await.everywhere
            }
            // A call that came again is as done as the first one's change is in force.
            None => publisher.is_everywhere().await,
        };
        everywhere.then_some(result).ok_or(NotDone::NotInForce.into())
    }
}

fn ended(why: &JoinError) -> StoreError {
    StoreError::new(ErrorKind::Other, format!("the change ended: {why}"))
}

/// Seconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
