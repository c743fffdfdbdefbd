//! Whether a token is to be believed.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::asking::Asking;
use super::bearer::Scheme;
use super::claims;
use super::json::Json;
use super::key_set::KeySet;
use super::refusal::Refusal;
use super::token::Token;
use crate::config::{Dpop, Jwt, JwtKeys, TokenRules};
use crate::policy::auth::NoAnswer;

/// Takes the tokens of `[jwt.NAME]`.
pub struct Verifier {
    /// Its name.
    pub name: Arc<str>,
    /// What tokens must say.
    pub rules: Arc<Jwt>,
    /// Keys of the issuer; none until they first came.
    pub keys: Arc<KeySet>,
    /// Another number whenever rules or keys are others: what was verified before counts no more.
    pub epoch: u64,
    /// How newer keys are asked for; `None`: there are none to be had.
    pub asking: Option<Arc<Asking>>,
}

/// A token that is believed.
#[derive(Debug, PartialEq)]
pub struct Verified {
    /// What it says.
    pub claims: Json,
    /// From when on it is not, seconds since 1970.
    pub ends_at: u64,
    /// What names the application that calls.
    pub application: Option<Box<str>>,
    /// The client it is bound to.
    pub bound: Option<Bound>,
}

/// What one verifier says of what a request shows.
#[derive(Debug, Clone)]
pub enum Proved {
    /// There is no token, or it is another verifier's.
    Absent,
    /// Who knows it was not asked yet.
    Unasked,
    /// Who knows it does not say, and that is not to keep anybody out.
    Open,
    /// Whether it is to be believed could not be found out.
    Unanswered(NoAnswer),
    /// It is not to be believed.
    Refused(Refusal),
    /// It is.
    Token(Rc<Verified>),
}

/// To whom a token is bound (`cnf`, RFC 7800).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound {
    /// The client that shows the certificate with this SHA-256 (RFC 8705 section 3.1), hex.
    Certificate(Box<str>),
    /// The client that proves to have the key with this thumbprint (RFC 9449 section 6.1), base64url.
    Key(Box<str>),
}

impl Verifier {
    /// Whether this token is to be believed at `now`, seconds since 1970. In this order: form, algorithm,
    /// key, signature, type, parties, times, rights.
    ///
    /// # Errors
    /// It is not.
    pub fn verify(&self, text: &[u8], now: u64) -> Result<Verified, Refusal> {
        let token = self.authentic(text)?;
        claims::check_type(&self.rules, &token.header)?;
        let claims = token.claims()?;
        let leeway = self.rules.leeway;
        Verified::of(&self.rules.says, claims, leeway, now, |ends| {
            // Past the end of a second it lives on to its end at most; `as` keeps it in range.
            ends.map(|ends| (ends + leeway.as_secs() as f64) as u64).ok_or(Refusal::NoExpiry)
        })
    }

    /// A token that the issuer signed, whatever it says.
    pub(super) fn authentic<'t>(&self, text: &'t [u8]) -> Result<Token<'t>, Refusal> {
        let token = Token::read(text)?;
        if !self.rules.algorithms.contains(&token.algorithm) {
            return Err(Refusal::Algorithm);
        }
        // A secret has no name: there is one.
        let id = token.key_id()?.filter(|_| !self.has_secret());
        let key = self.keys.key(id, token.algorithm)?;
        if key.verifies(token.algorithm, token.signed, &token.signature) {
            Ok(token)
        } else {
            Err(Refusal::Signature)
        }
    }

    /// Whether a token names the issuer of these tokens, believed or not. Where the configuration names none, none
    /// does.
    pub fn is_named_by(&self, text: &[u8]) -> bool {
        let said = Token::unbelieved(text);
        let issuer = said.as_ref().and_then(|said| said.member("iss")?.text());
        issuer.is_some_and(|issuer| self.rules.says.issuers.iter().any(|one| one == issuer))
    }

    /// Nanoseconds that are worth waiting for keys that were asked for.
    pub fn patience_ns(&self) -> u64 {
        let JwtKeys::Url(url) = &self.rules.keys else { return 0 };
        u64::try_from(url.timeout.as_nanos()).unwrap_or(u64::MAX)
    }

    fn has_secret(&self) -> bool {
        matches!(self.rules.keys, JwtKeys::Secret(_))
    }
}

/// To whom a token is bound. What is not understood of `cnf` binds to nobody who could be here.
fn bound(claims: &Json) -> Result<Option<Bound>, Refusal> {
    let Some(to) = claims.member("cnf") else { return Ok(None) };
    let named = |name| to.member(name).and_then(Json::text).map(Box::from);
    let bound = match (named("x5t#S256"), named("jkt")) {
        (Some(digest), None) => Bound::Certificate(hex(&digest).ok_or(Refusal::NotBound)?),
        (None, Some(thumbprint)) => Bound::Key(thumbprint),
        _ => return Err(Refusal::NotBound),
    };
    Ok(Some(bound))
}

/// A SHA-256 in base64url, as hex.
fn hex(base64: &str) -> Option<Box<str>> {
    let digest: [u8; 32] = URL_SAFE_NO_PAD.decode(base64).ok()?.try_into().ok()?;
    Some(digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into())
}

impl Verified {
    /// A token that says this, and is known to be who says it; `ends_at` makes of its `exp` when it is
    /// not believed any more.
    ///
    /// # Errors
    /// It is not to be believed.
    pub fn of(
        rules: &TokenRules,
        claims: Json,
        leeway: Duration,
        now: u64,
        ends_at: impl FnOnce(Option<f64>) -> Result<u64, Refusal>,
    ) -> Result<Self, Refusal> {
        claims::check_parties(rules, &claims)?;
        let ends_at = ends_at(claims::check_times(leeway, &claims, now)?)?;
        claims::check_rights(rules, &claims)?;
        let (application, bound) = (claims::application(rules, &claims), bound(&claims)?);
        Ok(Self { application, bound, ends_at, claims })
    }

    /// Whether who shows it in this way may use it: at once, or if a proof by the key with this thumbprint
    /// comes with it.
    ///
    /// # Errors
    /// It is another's, or anybody's where it must be somebody's.
    pub fn holder(
        &self,
        scheme: Scheme,
        dpop: Dpop,
        certificate: Option<&str>,
    ) -> Result<Option<&str>, Refusal> {
        match (&self.bound, scheme) {
            (Some(Bound::Key(thumbprint)), Scheme::Dpop) if dpop != Dpop::Off => {
                Ok(Some(thumbprint))
            }
            (_, Scheme::Bearer) if dpop != Dpop::Required && self.is_for(certificate, None) => {
                Ok(None)
            }
            _ => Err(Refusal::NotBound),
        }
    }

    /// Whether a client may use it without another proof that showed a certificate with this SHA-256, hex, or
    /// none, and proved to have the key with this thumbprint, or none.
    pub fn is_for(&self, certificate: Option<&str>, key: Option<&str>) -> bool {
        match &self.bound {
            None => true,
            Some(Bound::Certificate(digest)) => certificate == Some(digest),
            Some(Bound::Key(thumbprint)) => key == Some(thumbprint),
        }
    }

    /// The thumbprint of the key that it is bound to.
    pub fn key(&self) -> Option<&str> {
        match &self.bound {
            Some(Bound::Key(thumbprint)) => Some(thumbprint),
            Some(Bound::Certificate(_)) | None => None,
        }
    }

    /// Bytes of memory that it takes, about.
    pub fn weight(&self) -> usize {
        size_of::<Self>() + self.claims.weight()
    }
}
