//! `tollgate audit` and `tokens`.

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Map, Value};

use super::client::Call;
use super::failure::Failure;
use super::job::{Job, Jobs, Shape};
use super::shown::Column;

/// `tollgate audit`.
#[derive(Args)]
pub struct Audit {
    /// Only of such things: product, account, application, key, token or export.
    #[arg(long)]
    kind: Option<String>,
    /// Only of the thing with this id.
    #[arg(long)]
    object: Option<u64>,
    /// Only by this one, as lists show it: "token 1 init".
    #[arg(long)]
    actor: Option<String>,
    /// Only what was done so: create, change, delete, revoke, rotate, export and so on.
    #[arg(long)]
    action: Option<String>,
    /// Not before (RFC 3339).
    #[arg(long)]
    since: Option<String>,
    /// Before (RFC 3339).
    #[arg(long)]
    until: Option<String>,
}

const AUDIT: &[Column] = &[
    ("AT", "/at"),
    ("ACTOR", "/actor"),
    ("ACTION", "/action"),
    ("KIND", "/kind"),
    ("ID", "/object"),
    ("NAME", "/name"),
];

impl Jobs for Audit {
    fn job(self) -> Result<Job, Failure> {
        let mut call = Call::new(Method::GET, "/v1/audit");
        let all = [
            ("kind", self.kind),
            ("object", self.object.map(|id| id.to_string())),
            ("actor", self.actor),
            ("action", self.action),
            ("since", self.since),
            ("until", self.until),
        ];
        call.query.extend(all.into_iter().filter_map(|(name, value)| Some((name, value?))));
        Ok(Job { call, shape: Shape::List(AUDIT) })
    }
}

/// `tollgate tokens`.
#[derive(Args)]
pub struct Tokens {
    #[command(subcommand)]
    verb: TokenVerb,
}

#[derive(Subcommand)]
enum TokenVerb {
    /// List them.
    List,
    /// Make one; it is shown this once.
    Create {
        /// For people.
        label: String,
        /// read, operate or account.
        #[arg(long)]
        scope: String,
        /// Of the scope account: which.
        #[arg(long)]
        account: Option<u64>,
        /// From when on it is refused (RFC 3339).
        #[arg(long)]
        ends_at: Option<String>,
    },
    /// End one at once.
    Revoke {
        /// Its id, as `list` shows it.
        id: u64,
    },
}

const TOKENS: &[Column] = &[
    ("ID", "/id"),
    ("LABEL", "/label"),
    ("SCOPE", "/scope"),
    ("ACCOUNT", "/account"),
    ("HINT", "/hint"),
    ("ENDS", "/ends_at"),
    ("REVOKED", "/revoked_at"),
    ("LAST USED", "/last_used_at"),
];

impl Jobs for Tokens {
    fn job(self) -> Result<Job, Failure> {
        Ok(match self.verb {
            TokenVerb::List => {
                let call = Call::new(Method::GET, "/v1/tokens");
                Job { call, shape: Shape::List(TOKENS) }
            }
            TokenVerb::Create { label, scope, account, ends_at } => {
                let mut body = Map::new();
                body.insert("label".into(), label.into());
                body.insert("scope".into(), scope.into());
                body.extend(account.map(|account| ("account".into(), account.into())));
                body.extend(ends_at.map(|end| ("ends_at".into(), end.into())));
                Job::one(Call::new(Method::POST, "/v1/tokens").with(Value::Object(body)))
            }
            TokenVerb::Revoke { id } => {
                let call = Call::new(Method::DELETE, format!("/v1/tokens/{id}"));
                Job::done(call, format!("token {id} is revoked"))
            }
        })
    }
}
