//! Who calls, and whether their plan lets them: from a request's head, the directory and the time.

use super::digest::digest;
use super::directory::{Application, Credential, Directory};
use super::jwt::Proved;
use super::mapping::Hits;
use super::password::{self, Outcomes, PasswordQuestion, Said};
use super::places::{Carrier, Malformed};
use super::product::{Plan, Product, Way};
use super::service::NoAnswer;
use crate::config::ClientAttribute;
use crate::config::file::CredentialKind;
use crate::http::Identity;
use crate::policy::limit::Charge;
use crate::policy::quota::{self, Quota};

/// What a request shows of who calls, and what it asks for.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The method's text.
    pub method: &'a [u8],
    /// The canonical path.
    pub path: &'a [u8],
    /// Its fields and query.
    pub carrier: Carrier<'a>,
    /// Who the client proved to be by a certificate.
    pub identity: Option<&'a Identity>,
    /// What the product's verifiers say of the token that it shows, in their order.
    pub tokens: &'a [Proved],
    /// Its content, where that is a form whose parameters mapping rules may ask for.
    pub form: &'a [u8],
    /// What is known of passwords, by the digests of questions.
    pub passwords: &'a Outcomes<'a>,
    /// Seconds since 1970.
    pub now_s: u64,
}

/// A request that its plan lets in.
#[derive(Debug)]
pub struct Admitted<'d> {
    /// The product.
    pub product: &'d Product,
    /// Which application calls; `None`: nobody in particular (the anonymous plan).
    pub application: Option<&'d Application>,
    /// Id of the credential that it proved itself by, the first where there are several.
    pub credential: Option<u64>,
    /// Its plan.
    pub plan: &'d Plan,
    /// What the request counts as.
    pub hits: Hits,
}

impl<'d> Admitted<'d> {
    /// Its plan's quotas of a metric. Clients that are known by their address only change no plans.
    pub fn quotas(&self, metric: u16) -> impl Iterator<Item = &'d Quota> + Clone + use<'d> {
        let changes_plans = self.application.is_some();
        let all = self.plan.quotas(metric).iter();
        all.filter(move |quota| changes_plans || !quota.only_counted)
    }

    /// What its plan's quotas are charged.
    pub fn quota_charges(&self) -> impl Iterator<Item = quota::Charge<'d>> + Clone + use<'_, 'd> {
        self.hits.as_slice().iter().flat_map(|hit| {
            let amount = u64::from(hit.amount);
            self.quotas(hit.metric).map(move |quota| quota::Charge { quota, amount })
        })
    }

    /// What its plan's rate limits are charged.
    pub fn charges(&self) -> impl Iterator<Item = Charge<'d>> + Clone + use<'_, 'd> {
        let plan = self.plan;
        self.hits.as_slice().iter().flat_map(move |hit| {
            plan.limits(hit.metric).iter().map(|rule| Charge { rule, amount: hit.amount })
        })
    }
}

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It has no credential, and needs one.
    NoCredential,
    /// Its credential is not known, or no longer, or not for this product.
    BadCredential,
    /// Its credential is a token that those who know it refuse.
    BadToken,
    /// The application may not call, for now or not yet.
    Suspended,
    /// The application's time is over.
    Expired,
    /// No mapping rule says what it counts as.
    NoMappingRule,
    /// The plan does not have the method.
    MethodOff,
}

/// Why a request is not let in, or not yet.
pub enum Stop {
    /// It may not call.
    Refused(Refusal),
    /// Whether it may could not be found out.
    Unanswered(NoAnswer),
    /// This must be found out first.
    Ask(Wanted),
}

/// What must be found out.
pub enum Wanted {
    /// Whether a password is right.
    Password(Box<PasswordQuestion>),
    /// What a server says of the token, by its index among what is said of tokens.
    Token(u16),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// What one way to prove who one is comes to.
enum Proof<'d> {
    /// Nothing of its kind is there.
    Absent,
    /// Something is, and proves nobody.
    Bad(Refusal),
    /// It may be good; nobody could say.
    Doubtful(Stop),
    Of(&'d Credential),
    /// Whatever is there, it keeps nobody out.
    Open,
    /// It takes an answer to say.
    Ask(Wanted),
}

impl<'d> Proof<'d> {
    const BAD: Self = Self::Bad(Refusal::BadCredential);

    fn of(found: Option<&'d Credential>) -> Self {
        found.map_or(Self::BAD, Self::Of)
    }
}

/// Who calls, and whether they may.
///
/// # Errors
/// Why not, or what must be found out before that can be said.
pub fn admit<'d>(
    directory: &'d Directory,
    slot: u32,
    product: &'d Product,
    asked: &Asked<'_>,
) -> Result<Admitted<'d>, Stop> {
    let caller = authenticate(directory, slot, product, asked)?;
    let (plan, application) = match caller {
        Some(credential) => {
            let application = &*credential.application;
            if application.suspended {
                return Err(Refusal::Suspended.into());
            }
            if application.ends_at <= asked.now_s {
                return Err(Refusal::Expired.into());
            }
            (application.plan, Some(application))
        }
        None => (product.anonymous_plan.ok_or(Refusal::NoCredential)?, None),
    };
    // Without its plan an application has nothing that it may call.
    let plan = product.plans.get(&plan).ok_or(Refusal::Suspended)?;
    let parameters = [asked.form, asked.carrier.query.unwrap_or_default()];
    let hits = product.mapping.hits(asked.method, asked.path, &parameters);
    let mut hits = hits.ok_or(Refusal::NoMappingRule)?;
    let is_off = |metric: u16| plan.metrics.get(usize::from(metric)).is_none_or(|terms| terms.off);
    if hits.as_slice().iter().any(|hit| is_off(hit.metric)) {
        return Err(Refusal::MethodOff.into());
    }
    // What an answer will cost is not known yet; where nothing is left, it is not asked for.
    product.counted_fields.iter().for_each(|(_, metric)| hits.add(*metric, 0));
    let credential = caller.map(|credential| credential.id);
    Ok(Admitted { product, application, credential, plan, hits })
}

/// Whose credential the request carries; `None`: none that must be somebody's.
fn authenticate<'d>(
    directory: &'d Directory,
    slot: u32,
    product: &Product,
    asked: &Asked<'_>,
) -> Result<Option<&'d Credential>, Stop> {
    let proofs = product.ways.iter().map(|way| match prove(directory, product, *way, asked) {
        Proof::Of(credential)
            if credential.application.product != slot || credential.ends_at <= asked.now_s =>
        {
            Proof::BAD
        }
        proof => proof,
    });
    if product.all_ways { all_of(proofs) } else { any_of(proofs) }
}

/// Whose the first credential is that proves somebody. Where none does, what is doubtful counts more than what
/// is bad, since it could be good.
fn any_of<'d>(proofs: impl Iterator<Item = Proof<'d>>) -> Result<Option<&'d Credential>, Stop> {
    let (mut doubtful, mut bad) = (None, None);
    for proof in proofs {
        match proof {
            Proof::Of(credential) => return Ok(Some(credential)),
            Proof::Ask(wanted) => return Err(Stop::Ask(wanted)),
            Proof::Doubtful(stop) => doubtful = doubtful.or(Some(stop)),
            Proof::Bad(refusal) => bad = bad.or(Some(refusal)),
            Proof::Absent | Proof::Open => {}
        }
    }
    doubtful.or(bad.map(Stop::from)).map_or(Ok(None), Err)
}

/// Whose the credentials all are.
fn all_of<'d>(proofs: impl Iterator<Item = Proof<'d>>) -> Result<Option<&'d Credential>, Stop> {
    let (mut first, mut is_absent) = (None::<&Credential>, false);
    for proof in proofs {
        match proof {
            Proof::Of(credential) => {
                let whose = &first.get_or_insert(credential).application;
                if whose.id != credential.application.id {
                    return Err(Refusal::BadCredential.into());
                }
            }
            Proof::Ask(wanted) => return Err(Stop::Ask(wanted)),
            Proof::Doubtful(stop) => return Err(stop),
            Proof::Bad(refusal) => return Err(refusal.into()),
            Proof::Absent => is_absent = true,
            Proof::Open => {}
        }
    }
    match first {
        Some(_) if is_absent => Err(Refusal::NoCredential.into()),
        whose => Ok(whose),
    }
}

fn prove<'d>(
    directory: &'d Directory,
    product: &Product,
    way: Way,
    asked: &Asked<'_>,
) -> Proof<'d> {
    let places = &product.places;
    let of = |kind, parts: &[&[u8]]| {
        directory.credential(&digest(&directory.secret, (product.id, kind), parts))
    };
    let known = |kind, parts: &[&[u8]]| Proof::of(of(kind, parts));
    match way {
        Way::UserKey => match asked.carrier.find(&places.user_key) {
            None => Proof::Absent,
            Some(key) => known(CredentialKind::UserKey, &[&key]),
        },
        Way::AppKey => {
            let id = asked.carrier.find(&places.app_id);
            match (id, asked.carrier.find(&places.app_key)) {
                (None, None) => Proof::Absent,
                (Some(id), Some(key)) => known(CredentialKind::AppKey, &[&id, &key]),
                _ => Proof::BAD,
            }
        }
        Way::Basic => match asked.carrier.basic() {
            None => Proof::Absent,
            Some(Err(Malformed)) => Proof::BAD,
            Some(Ok((user, password))) => {
                match password::whose(directory, product.id, (&user, &password), asked.passwords) {
                    Said::Known(credential) => Proof::Of(credential),
                    Said::Wrong => Proof::BAD,
                    Said::Unanswered(why) => Proof::Doubtful(Stop::Unanswered(why)),
                    Said::Unknown(question) => Proof::Ask(Wanted::Password(question)),
                }
            }
        },
        Way::Jwt(index) | Way::Introspection(index) => match asked.tokens.get(usize::from(index)) {
            None | Some(Proved::Absent) => Proof::Absent,
            Some(Proved::Open) => Proof::Open,
            Some(Proved::Unasked) => Proof::Ask(Wanted::Token(index)),
            Some(Proved::Unanswered(why)) => Proof::Doubtful(Stop::Unanswered(*why)),
            Some(Proved::Refused(why)) if why.is_doubtful() => {
                Proof::Doubtful(Refusal::BadToken.into())
            }
            Some(Proved::Refused(_)) => Proof::Bad(Refusal::BadToken),
            Some(Proved::Token(token)) => {
                let verifier = product.verifiers.get(usize::from(index));
                let Some((verifier, claim)) = verifier.zip(token.application.as_ref()) else {
                    return Proof::BAD;
                };
                known(CredentialKind::Jwt, &[verifier.as_bytes(), claim.as_bytes()])
            }
        },
        Way::Certificate => {
            let Some(identity) = asked.identity else { return Proof::Absent };
            let by = |attribute| {
                let text = identity.text(attribute).as_bytes();
                of(CredentialKind::Certificate, &[text]).filter(|_| !text.is_empty())
            };
            let found = by(ClientAttribute::Fingerprint).or_else(|| by(ClientAttribute::Subject));
            Proof::of(found)
        }
    }
}

#[cfg(test)]
mod tests;
