//! The store's file: opened once, where something needs it, and kept until the end.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::Settings;
use crate::store::catalog::MissingPlan;
use crate::store::{Store, missing_plans};

/// What of a configuration can't be taken up because of what the store holds. A store that is not
/// there, or that whoever asks can't read, stands against nothing.
pub fn conflicts(config: &Path, settings: &Settings) -> Vec<String> {
    let folder = config.parent().unwrap_or(Path::new(""));
    let missing = missing_plans(&folder.join(&settings.store.path), &settings.products);
    let told = |plan: &MissingPlan| format!("{}: error: {plan}", config.display());
    missing.unwrap_or_default().iter().map(told).collect()
}

/// The store, be it open or not.
pub struct StoreFile {
    /// Where relative names of files are.
    folder: PathBuf,
    /// Whether somebody wrote a configuration; what is built in takes up no store that is there.
    configured: bool,
    opened: Option<Arc<Store>>,
}

impl StoreFile {
    /// Not open yet. `config` is the configuration's file.
    pub fn beside(config: Option<&Path>) -> Self {
        let folder = config.and_then(Path::parent).unwrap_or(Path::new("")).to_owned();
        Self { folder, configured: config.is_some(), opened: None }
    }

    /// The open store; made where there is none.
    ///
    /// # Errors
    /// Where it can't be used.
    pub fn open(&mut self, path: &Path) -> Result<Arc<Store>, String> {
        let path = self.folder.join(path);
        if let Some(store) = &self.opened {
            if store.path() != path {
                tracing::warn!("store.path changes with a restart only");
            }
            return Ok(store.clone());
        }
        let opened = Store::open(&path).map_err(|why| format!("store.path: {why}"))?;
        Ok(self.opened.insert(Arc::new(opened)).clone())
    }

    /// The open store, where the file is there already: `tollgate init` made it, say.
    ///
    /// # Errors
    /// Where it is there and can't be used.
    pub fn open_existing(&mut self, path: &Path) -> Result<Option<Arc<Store>>, String> {
        let is_there = self.configured && self.folder.join(path).exists();
        match self.opened.is_some() || is_there {
            true => self.open(path).map(Some),
            false => Ok(None),
        }
    }
}
