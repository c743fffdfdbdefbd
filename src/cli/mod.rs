//! Commands beside the gateway: what an operator does with products, applications and keys from a
//! shell, and with the store's file.
//!
//! Most of it asks a running gateway by its admin API ([`client`]) and knows nothing that another
//! client could not know; [`files`] works on the store's file itself. A command becomes a [`Job`]
//! first, a call and how to show what comes of it; [`run`] does the rest, the same for all.
//!
//! Ends with 0 where it is done, 1 where it is refused, 2 where the command makes no sense, and 3
//! where the gateway can't be asked.

mod client;
mod definition;
mod failure;
mod files;
mod job;
mod people;
mod products;
mod records;
mod shown;
mod transfer;
mod usage;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::control::announce::say;
use crate::limits::ADMIN_LISTEN;
use client::Client;
use failure::Failure;
use job::Job;
pub use job::Jobs;

/// Commands on products, applications and the store.
#[derive(Subcommand)]
pub enum Command {
    /// Make the store, and print the first token of the admin API, once.
    Init(files::Init),
    /// Copy the store into a file, while a gateway runs or not.
    Backup(files::Backup),
    /// Put a copy in the store's place; no gateway may run on it.
    Restore(files::Restore),
    /// Products: what plans are for.
    Products(Asking<products::Products>),
    /// Plans of a product.
    Plans(Asking<products::Plans>),
    /// Accounts: who has applications.
    Accounts(Asking<people::Accounts>),
    /// Applications: what calls with a plan.
    Apps(Asking<people::Apps>),
    /// Keys and other credentials of an application.
    Keys(Asking<people::Keys>),
    /// Make an account, an application and its key in one call.
    Signup(Asking<people::Signup>),
    /// What was used, by whom and when.
    Usage(Asking<usage::Usage>),
    /// A month's usage for bills, each unit once.
    Bill(Asking<usage::Bill>),
    /// Who changed what.
    Audit(Asking<records::Audit>),
    /// Tokens of the admin API.
    Tokens(Asking<records::Tokens>),
    /// Make a product of an OpenAPI file or of 3scale's export; it begins as a draft.
    Import(Asking<transfer::Import>),
    /// Print all products as they stand in a configuration.
    Export(Asking<transfer::Export>),
}

/// A command that asks a running gateway. The token is read from the environment (TOLLGATE_TOKEN),
/// since anybody may read a command line.
#[derive(Args)]
pub struct Asking<C: Args> {
    #[command(flatten)]
    command: C,
    /// The admin listener; it wants the token that $TOLLGATE_TOKEN holds [default:
    /// $TOLLGATE_ADMIN, or http://127.0.0.1:9900].
    #[arg(long, global = true, value_name = "URL")]
    admin: Option<String>,
    /// Print JSON, for scripts.
    #[arg(long, global = true)]
    json: bool,
}

/// Does what a command asks for.
pub fn run(command: Command) -> ExitCode {
    let done = match command {
        Command::Init(init) => init.run(),
        Command::Backup(backup) => backup.run(),
        Command::Restore(restore) => restore.run(),
        Command::Products(asking) => asking.run(),
        Command::Plans(asking) => asking.run(),
        Command::Accounts(asking) => asking.run(),
        Command::Apps(asking) => asking.run(),
        Command::Keys(asking) => asking.run(),
        Command::Signup(asking) => asking.run(),
        Command::Usage(asking) => asking.run(),
        Command::Bill(asking) => asking.run(),
        Command::Audit(asking) => asking.run(),
        Command::Tokens(asking) => asking.run(),
        Command::Import(asking) => asking.run(),
        Command::Export(asking) => asking.run(),
    };
    match done {
        Ok(text) => {
            say(&text);
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("tollgate: {failure}");
            ExitCode::from(failure.code())
        }
    }
}

impl<C: Args + Jobs> Asking<C> {
    fn run(self) -> Result<String, Failure> {
        let job: Job = self.command.job()?;
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let none =
            || Failure::Usage("TOLLGATE_TOKEN must hold a token (see `tollgate init`)".into());
        let token = variable("TOLLGATE_TOKEN").ok_or_else(none)?;
        let local = || format!("http://{ADMIN_LISTEN}");
        let admin = self.admin.or_else(|| variable("TOLLGATE_ADMIN")).unwrap_or_else(local);
        job.run(&Client::new(&admin, &token)?, self.json)
    }
}
