//! `tollgate init`, `backup` and `restore`: the store's file itself, without asking a gateway.

use std::path::PathBuf;

use clap::Args;

use super::failure::Failure;
use crate::config::Diagnostic;
use crate::control::admin::v1;
use crate::control::source::Source;
use crate::store::{self, Store};

/// The configuration that says where the store is.
#[derive(Args)]
struct Config {
    /// The configuration file.
    #[arg(
        short,
        long = "config",
        value_name = "FILE",
        default_value = "/etc/tollgate/tollgate.toml"
    )]
    config: PathBuf,
}

impl Config {
    /// The store's file.
    fn store(&self) -> Result<PathBuf, Failure> {
        let source = Source::read(&self.config, None);
        let told = |told: Vec<Diagnostic>| {
            Failure::Local(told.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        };
        let settings = source.map_err(told)?.settings;
        let folder = self.config.parent().unwrap_or("".as_ref());
        Ok(folder.join(&settings.store.path))
    }
}

/// `tollgate backup`.
#[derive(Args)]
pub struct Backup {
    #[command(flatten)]
    config: Config,
    /// The copy; there must be no such file yet.
    to: PathBuf,
}

impl Backup {
    /// Copies the store, be it in use or not.
    ///
    /// # Errors
    /// Where it can't be read, or the copy can't be written.
    pub(super) fn run(self) -> Result<String, Failure> {
        let copied = store::back_up(&self.config.store()?, &self.to);
        copied.map_err(|why| Failure::Local(why.to_string()))?;
        Ok(format!("{} is written\n", self.to.display()))
    }
}

/// `tollgate restore`.
#[derive(Args)]
pub struct Restore {
    #[command(flatten)]
    config: Config,
    /// The copy that takes the store's place.
    from: PathBuf,
}

impl Restore {
    /// Puts a copy in the store's place, once it is found sound.
    ///
    /// # Errors
    /// Where a gateway runs on the store, or the copy is none.
    pub(super) fn run(self) -> Result<String, Failure> {
        let path = self.config.store()?;
        let restored = store::restore(&self.from, &path);
        restored.map_err(|why| Failure::Local(why.to_string()))?;
        Ok(format!("{} is what {} was\n", path.display(), self.from.display()))
    }
}

/// `tollgate init`.
#[derive(Args)]
pub struct Init {
    #[command(flatten)]
    config: Config,
    /// What the token is called in lists.
    #[arg(long, default_value = "init")]
    label: String,
    /// Make another token where there is one already.
    #[arg(long)]
    again: bool,
}

impl Init {
    /// Makes the store and its first token.
    ///
    /// # Errors
    /// Where the store can't be used, or has a token.
    pub(super) fn run(self) -> Result<String, Failure> {
        let path = self.config.store()?;
        let store = Store::open(&path).map_err(|why| Failure::Local(why.to_string()))?;
        let token = v1::first_token(&store, &self.label, self.again);
        let token = token.map_err(|why| Failure::Local(why.detail().to_owned()))?;
        eprintln!("{}: a token that may do all. It is not shown again:", path.display());
        Ok(format!("{token}\n"))
    }
}
