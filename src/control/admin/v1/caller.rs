//! Who calls: the bearer of a token, and what it lets them do.

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;

use super::Api;
use super::moment::Moment;
use super::problem::{Problem, rules};
use super::secret;
use crate::limits::TOKEN_USE_NOTED_EVERY;
use crate::store::catalog::{TokenRow, TokenScope};

/// The bearer of a token. Can't be printed: there is the token in it.
#[derive(Clone)]
pub(super) struct Caller {
    /// The token's id.
    pub(super) id: u64,
    label: String,
    scope: TokenScope,
    token: String,
}

impl Caller {
    /// How the audit log names them.
    pub(super) fn name(&self) -> String {
        format!("token {} {}", self.id, self.label).trim_end().to_owned()
    }

    /// The token itself: answers that are kept are sealed with it.
    pub(super) fn token(&self) -> &str {
        &self.token
    }

    /// Refuses who may not change anything.
    pub(super) fn change(&self) -> Result<(), Problem> {
        match self.scope {
            TokenScope::Read => Err(Problem::new(rules::SCOPE, "the token's scope is read")),
            _ => Ok(()),
        }
    }

    /// Refuses who may not change what is nobody's own.
    pub(super) fn operate(&self) -> Result<(), Problem> {
        match self.scope {
            TokenScope::Operate => Ok(()),
            _ => Err(Problem::new(rules::SCOPE, "a token with the scope operate is needed")),
        }
    }

    /// Refuses who may not read what is nobody's own.
    pub(super) fn read_all(&self) -> Result<(), Problem> {
        match self.scope {
            TokenScope::Account(_) => {
                Err(Problem::new(rules::SCOPE, "the token is for one account's own things"))
            }
            _ => Ok(()),
        }
    }

    /// The account beyond which they see nothing.
    pub(super) fn account(&self) -> Option<u64> {
        match self.scope {
            TokenScope::Account(account) => Some(account),
            _ => None,
        }
    }

    /// Whether they may see what is this account's.
    pub(super) fn sees(&self, account: u64) -> bool {
        self.account().is_none_or(|own| own == account)
    }
}

/// Lets in who has a token, and nobody else, to anything below.
pub(super) async fn authenticate(
    State(api): State<Api>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let token = bearer(request.headers())?.to_owned();
    let secret = api.secret()?;
    let digest = secret::token_digest(&secret, &token);
    let row = api.read(move |records| Ok(records.token_of(&digest)?)).await?;
    let now = Moment::now().0;
    let row = row.filter(|row| is_good(row, now));
    // Unknown, over and revoked are the same to who asks.
    let row = row.ok_or_else(|| Problem::new(rules::BAD_TOKEN, "it is none, or no longer one"))?;
    if row.last_used_at.is_none_or(|at| now - at >= TOKEN_USE_NOTED_EVERY) {
        api.note_use(row.id, now).await;
    }
    let TokenRow { id, label, scope, .. } = row;
    request.extensions_mut().insert(Caller { id, label, scope, token });
    Ok(next.run(request).await)
}

/// Whether a token is neither revoked nor over.
pub(super) fn is_good(row: &TokenRow, now: i64) -> bool {
    row.revoked_at.is_none() && row.ends_at.is_none_or(|end| end > now)
}

/// RFC 6750, 2.1: the only place where a token is looked for.
fn bearer(fields: &HeaderMap) -> Result<&str, Problem> {
    let none = || Problem::new(rules::NO_TOKEN, "Authorization: Bearer tgt_… is needed");
    let mut lines = fields.get_all(header::AUTHORIZATION).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else { return Err(none()) };
    let (scheme, token) = line.to_str().ok().and_then(|l| l.split_once(' ')).ok_or_else(none)?;
    match scheme.eq_ignore_ascii_case("bearer") {
        true => Ok(token.trim()),
        false => Err(none()),
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| Problem::new(rules::NO_TOKEN, "nobody has asked who this is"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(scope: TokenScope) -> Caller {
        Caller { id: 3, label: "ci".into(), scope, token: "tgt_x".into() }
    }

    #[test]
    fn each_scope_may_do_its_own() {
        let may = |scope| {
            let caller = caller(scope);
            [caller.change().is_ok(), caller.operate().is_ok(), caller.read_all().is_ok()]
        };
        assert_eq!(may(TokenScope::Read), [false, false, true]);
        assert_eq!(may(TokenScope::Operate), [true, true, true]);
        assert_eq!(may(TokenScope::Account(7)), [true, false, false]);
        assert!(caller(TokenScope::Account(7)).sees(7) && !caller(TokenScope::Account(7)).sees(8));
        assert!(caller(TokenScope::Read).sees(8));
        assert_eq!(caller(TokenScope::Read).name(), "token 3 ci");
    }

    #[test]
    fn a_token_is_taken_from_one_authorization_field_only() {
        let ask = |lines: &[&str]| {
            let mut fields = HeaderMap::new();
            for line in lines {
                fields.append(header::AUTHORIZATION, line.parse().unwrap());
            }
            bearer(&fields).map(str::to_owned).ok()
        };
        assert_eq!(ask(&["Bearer tgt_a"]).as_deref(), Some("tgt_a"));
        assert_eq!(ask(&["bearer  tgt_a"]).as_deref(), Some("tgt_a"));
        for bad in [&[][..], &["tgt_a"], &["Basic tgt_a"], &["Bearer a", "Bearer b"]] {
            assert_eq!(ask(bad), None, "{bad:?}");
        }
    }
}
