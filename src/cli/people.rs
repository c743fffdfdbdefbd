//! `tollgate accounts`, `apps`, `keys` and `signup`.

use std::path::Path;

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Map, Value, json};

use super::client::Call;
use super::definition;
use super::failure::Failure;
use super::job::{Job, Jobs, Shape};
use super::shown::Column;

/// `tollgate accounts`.
#[derive(Args)]
pub struct Accounts {
    #[command(subcommand)]
    verb: AccountVerb,
}

#[derive(Subcommand)]
enum AccountVerb {
    /// List them.
    List {
        /// Only the one with this name.
        #[arg(long)]
        name: Option<String>,
        /// Only those with this address.
        #[arg(long)]
        email: Option<String>,
        /// Only those in this state: pending, live or suspended.
        #[arg(long)]
        state: Option<String>,
    },
    /// Show one.
    Show {
        /// Its id, as `list` shows it.
        id: u64,
    },
    /// Make one.
    Create {
        /// Its name, for people.
        name: String,
        #[command(flatten)]
        more: AccountMembers,
    },
    /// Change it.
    Update {
        /// Its id, as `list` shows it.
        id: u64,
        /// A new name.
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        more: AccountMembers,
    },
    /// Remove it with all of its applications.
    Delete {
        /// Its id, as `list` shows it.
        id: u64,
    },
}

#[derive(Args)]
struct AccountMembers {
    /// Where people reach them.
    #[arg(long)]
    email: Option<String>,
    /// pending, live or suspended.
    #[arg(long)]
    state: Option<String>,
    #[command(flatten)]
    attributes: Attributes,
}

#[derive(Args)]
struct Attributes {
    /// A field that upstreams get, as NAME=VALUE; with no value it is taken away. May be given
    /// several times.
    #[arg(long = "attribute", value_name = "NAME=VALUE")]
    attributes: Vec<String>,
}

impl Attributes {
    fn value(self) -> Result<Option<Value>, Failure> {
        let each = self.attributes.iter().map(|text| match text.split_once('=') {
            Some((name, "")) => Ok((name.to_owned(), Value::Null)),
            Some((name, value)) => Ok((name.to_owned(), value.into())),
            None => Err(Failure::Usage(format!("--attribute: NAME=VALUE is needed, not {text}"))),
        });
        let all = each.collect::<Result<Map<_, _>, _>>()?;
        Ok((!all.is_empty()).then_some(Value::Object(all)))
    }
}

/// An object of the members that are there.
fn members<const N: usize>(all: [(&str, Option<Value>); N]) -> Value {
    let there = all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(there.collect())
}

fn text(text: Option<String>) -> Option<Value> {
    text.map(Value::String)
}

fn query<const N: usize>(
    path: &str,
    all: [(&'static str, Option<String>); N],
    columns: &'static [Column],
) -> Job {
    let mut call = Call::new(Method::GET, path);
    call.query.extend(all.into_iter().filter_map(|(name, value)| Some((name, value?))));
    Job { call, shape: Shape::List(columns) }
}

const ACCOUNTS: &[Column] = &[
    ("ID", "/id"),
    ("NAME", "/name"),
    ("EMAIL", "/email"),
    ("STATE", "/state"),
    ("CREATED", "/created_at"),
];

impl Jobs for Accounts {
    fn job(self) -> Result<Job, Failure> {
        let at = |id: u64| format!("/v1/accounts/{id}");
        let body = |name: Option<String>, more: AccountMembers| {
            let attributes = more.attributes.value()?;
            let (email, state) = (text(more.email), text(more.state));
            let all = [("name", text(name)), ("email", email), ("state", state)];
            let [name, email, state] = all;
            Ok(members([name, email, state, ("attributes", attributes)]))
        };
        Ok(match self.verb {
            AccountVerb::List { name, email, state } => {
                let filters = [("name", name), ("email", email), ("state", state)];
                query("/v1/accounts", filters, ACCOUNTS)
            }
            AccountVerb::Show { id } => Job::one(Call::new(Method::GET, at(id))),
            AccountVerb::Create { name, more } => {
                let call = Call::new(Method::POST, "/v1/accounts");
                Job::one(call.with(body(Some(name), more)?))
            }
            AccountVerb::Update { id, name, more } => {
                Job::one(Call::new(Method::PATCH, at(id)).with(body(name, more)?))
            }
            AccountVerb::Delete { id } => {
                Job::done(Call::new(Method::DELETE, at(id)), format!("account {id} is removed"))
            }
        })
    }
}

/// `tollgate apps`.
#[derive(Args)]
pub struct Apps {
    #[command(subcommand)]
    verb: AppVerb,
}

#[derive(Subcommand)]
enum AppVerb {
    /// List them.
    List {
        /// Only those of this account (its id).
        #[arg(long)]
        account: Option<String>,
        /// Only those of this product.
        #[arg(long)]
        product: Option<String>,
        /// Only those of this plan of the product.
        #[arg(long, requires = "product")]
        plan: Option<String>,
        /// Only those with this name.
        #[arg(long)]
        name: Option<String>,
        /// Only those in this state: pending, live or suspended.
        #[arg(long)]
        state: Option<String>,
    },
    /// Show one.
    Show {
        /// Its id, as `list` shows it.
        id: u64,
    },
    /// Make one.
    Create {
        /// Its name, for people.
        name: String,
        /// Whose it is: an account's id.
        #[arg(long)]
        account: u64,
        /// The product it calls.
        #[arg(long)]
        product: String,
        /// By this plan of it.
        #[arg(long)]
        plan: String,
        /// Its public id that it has already, instead of a new one.
        #[arg(long)]
        app_id: Option<String>,
        /// For people.
        #[arg(long)]
        description: Option<String>,
        #[command(flatten)]
        attributes: Attributes,
    },
    /// Change it: approve it (`--state live`), suspend it, give it another plan.
    Update {
        /// Its id, as `list` shows it.
        id: u64,
        /// A new name.
        #[arg(long)]
        name: Option<String>,
        /// Another plan of the same product.
        #[arg(long)]
        plan: Option<String>,
        /// pending, live or suspended.
        #[arg(long)]
        state: Option<String>,
        /// For people.
        #[arg(long)]
        description: Option<String>,
        #[command(flatten)]
        attributes: Attributes,
    },
    /// Remove it with its keys.
    Delete {
        /// Its id, as `list` shows it.
        id: u64,
    },
}

const APPS: &[Column] = &[
    ("ID", "/id"),
    ("NAME", "/name"),
    ("ACCOUNT", "/account"),
    ("PRODUCT", "/product"),
    ("PLAN", "/plan"),
    ("STATE", "/state"),
    ("APP_ID", "/app_id"),
];

impl Jobs for Apps {
    fn job(self) -> Result<Job, Failure> {
        let at = |id: u64| format!("/v1/applications/{id}");
        Ok(match self.verb {
            AppVerb::List { account, product, plan, name, state } => {
                let one = [("account", account), ("product", product), ("plan", plan)];
                let [account, product, plan] = one;
                let filters = [account, product, plan, ("name", name), ("state", state)];
                query("/v1/applications", filters, APPS)
            }
            AppVerb::Show { id } => Job::one(Call::new(Method::GET, at(id))),
            AppVerb::Create { name, account, product, plan, app_id, description, attributes } => {
                let body = members([
                    ("name", Some(name.into())),
                    ("account", Some(account.into())),
                    ("product", Some(product.into())),
                    ("plan", Some(plan.into())),
                    ("app_id", text(app_id)),
                    ("description", text(description)),
                    ("attributes", attributes.value()?),
                ]);
                Job::one(Call::new(Method::POST, "/v1/applications").with(body))
            }
            AppVerb::Update { id, name, plan, state, description, attributes } => {
                let body = members([
                    ("name", text(name)),
                    ("plan", text(plan)),
                    ("state", text(state)),
                    ("description", text(description)),
                    ("attributes", attributes.value()?),
                ]);
                Job::one(Call::new(Method::PATCH, at(id)).with(body))
            }
            AppVerb::Delete { id } => {
                Job::done(Call::new(Method::DELETE, at(id)), format!("application {id} is removed"))
            }
        })
    }
}

/// `tollgate keys`.
#[derive(Args)]
pub struct Keys {
    #[command(subcommand)]
    verb: KeyVerb,
}

#[derive(Subcommand)]
enum KeyVerb {
    /// List those of an application.
    List {
        /// The application's id.
        app: u64,
    },
    /// List those of all applications that were neither made nor used since then (RFC 3339).
    Unused {
        /// As in 2026-11-01T00:00:00Z.
        since: String,
    },
    /// Make one; it is shown this once.
    Create {
        /// The application's id.
        app: u64,
        #[command(flatten)]
        credential: Credential,
    },
    /// Make another in a key's place; the old one ends after the overlap.
    Rotate {
        /// The application's id.
        app: u64,
        /// The key's id, as `list` shows it.
        key: u64,
        /// Both are good for so long.
        #[arg(long, default_value = "1h")]
        overlap: String,
    },
    /// End a key at once.
    Revoke {
        /// The application's id.
        app: u64,
        /// The key's id, as `list` shows it.
        key: u64,
    },
}

#[derive(Args)]
struct Credential {
    /// user_key, app_key, basic, certificate or jwt.
    #[arg(long, default_value = "user_key")]
    kind: String,
    /// For people.
    #[arg(long)]
    label: Option<String>,
    /// From when on it is refused (RFC 3339).
    #[arg(long)]
    ends_at: Option<String>,
    /// Of user_key and app_key: the key that the client has already, instead of a new one; `-`: the
    /// first line of standard input, since everybody on a machine may read a command line.
    #[arg(long)]
    key: Option<String>,
    /// Of basic: the user's name.
    #[arg(long)]
    user: Option<String>,
    /// Of certificate: its SHA-256 fingerprint.
    #[arg(long)]
    fingerprint: Option<String>,
    /// Of certificate: its subject.
    #[arg(long)]
    subject: Option<String>,
    /// Of jwt: the verifier's name in the configuration, or introspection:NAME.
    #[arg(long)]
    verifier: Option<String>,
    /// Of jwt: the claim's value.
    #[arg(long)]
    claim: Option<String>,
}

impl Credential {
    fn value(self) -> Result<Value, Failure> {
        let key = match self.key.as_deref() {
            Some("-") => definition::text(Path::new("-"))?.lines().next().map(str::to_owned),
            _ => self.key,
        };
        Ok(members([
            ("kind", Some(self.kind.into())),
            ("key", text(key)),
            ("label", text(self.label)),
            ("ends_at", text(self.ends_at)),
            ("user", text(self.user)),
            ("fingerprint", text(self.fingerprint)),
            ("subject", text(self.subject)),
            ("verifier", text(self.verifier)),
            ("claim", text(self.claim)),
        ]))
    }
}

const KEYS: &[Column] = &[
    ("ID", "/id"),
    ("KIND", "/kind"),
    ("HINT", "/hint"),
    ("LABEL", "/label"),
    ("CREATED", "/created_at"),
    ("ENDS", "/ends_at"),
    ("REVOKED", "/revoked_at"),
    ("LAST USED", "/last_used_at"),
];

const UNUSED: &[Column] = &[
    ("ID", "/id"),
    ("APP", "/application"),
    ("KIND", "/kind"),
    ("HINT", "/hint"),
    ("CREATED", "/created_at"),
    ("LAST USED", "/last_used_at"),
];

impl Jobs for Keys {
    fn job(self) -> Result<Job, Failure> {
        let all = |app: u64| format!("/v1/applications/{app}/keys");
        Ok(match self.verb {
            KeyVerb::List { app } => query(&all(app), [], KEYS),
            KeyVerb::Unused { since } => {
                let filters = [("unused_since", Some(since)), ("live", Some("true".into()))];
                query("/v1/keys", filters, UNUSED)
            }
            KeyVerb::Create { app, credential } => {
                Job::one(Call::new(Method::POST, all(app)).with(credential.value()?))
            }
            KeyVerb::Rotate { app, key, overlap } => {
                let call = Call::new(Method::POST, format!("{}/{key}/rotate", all(app)));
                Job::one(call.with(json!({ "overlap": overlap })))
            }
            KeyVerb::Revoke { app, key } => {
                let call = Call::new(Method::DELETE, format!("{}/{key}", all(app)));
                Job::done(call, format!("key {key} is revoked"))
            }
        })
    }
}

/// `tollgate signup`.
#[derive(Args)]
pub struct Signup {
    /// The account's name.
    #[arg(long)]
    account: String,
    /// Where people reach them.
    #[arg(long)]
    email: Option<String>,
    /// The application's name.
    #[arg(long)]
    app: String,
    /// The product it calls.
    #[arg(long)]
    product: String,
    /// By this plan of it.
    #[arg(long)]
    plan: String,
    /// Its public id that it has already, instead of a new one.
    #[arg(long)]
    app_id: Option<String>,
    #[command(flatten)]
    credential: Credential,
}

impl Jobs for Signup {
    fn job(self) -> Result<Job, Failure> {
        let account = members([("name", Some(self.account.into())), ("email", text(self.email))]);
        let application = members([
            ("name", Some(self.app.into())),
            ("product", Some(self.product.into())),
            ("plan", Some(self.plan.into())),
            ("app_id", text(self.app_id)),
        ]);
        let body = json!({
            "account": account,
            "application": application,
            "credential": self.credential.value()?,
        });
        Ok(Job::one(Call::new(Method::POST, "/v1/signups").with(body)))
    }
}
