//! Passwords of HTTP Basic (RFC 7617): what must be found out about one before its user is believed.

use std::sync::Arc;

use super::digest::{Digest, digest};
use super::directory::{Credential, Directory};
use super::service::NoAnswer;
use crate::config::file::CredentialKind;

/// Whether a password is the one that a hash was made of. Whoever answers takes as long where there is
/// no hash, so that time does not tell which users are known.
pub struct PasswordQuestion {
    /// What the answer is remembered by: user, password and hash, keyed. With another hash it is
    /// another question.
    pub digest: Digest,
    /// The password.
    pub password: Box<[u8]>,
    /// The user's hash (argon2, PHC string); `None`: nobody is called so.
    pub hash: Option<Arc<str>>,
}

/// What is known of questions that were answered, or could not be.
pub type Outcomes<'a> = dyn Fn(&Digest) -> Option<Result<bool, NoAnswer>> + 'a;

/// What is said of a user with a password.
pub(super) enum Said<'d> {
    /// Whose they are.
    Known(&'d Credential),
    /// Nobody's.
    Wrong,
    /// It could not be found out.
    Unanswered(NoAnswer),
    /// It must be asked.
    Unknown(Box<PasswordQuestion>),
}

/// Whose user and password these are to the product of this id, as far as `outcome` knows.
pub(super) fn whose<'d>(
    directory: &'d Directory,
    product: u64,
    (user, password): (&[u8], &[u8]),
    outcome: &Outcomes<'_>,
) -> Said<'d> {
    let digest =
        |parts: &[&[u8]]| digest(&directory.secret, (product, CredentialKind::Basic), parts);
    let known = directory.credential(&digest(&[user]));
    let hash = known.and_then(|credential| credential.password.clone());
    let text = hash.as_deref().unwrap_or_default();
    let digest = digest(&[user, password, text.as_bytes()]);
    match (outcome(&digest), known.filter(|_| hash.is_some())) {
        (None, _) => {
            Said::Unknown(Box::new(PasswordQuestion { digest, password: password.into(), hash }))
        }
        (Some(Err(why)), _) => Said::Unanswered(why),
        (Some(Ok(true)), Some(credential)) => Said::Known(credential),
        (Some(Ok(_)), _) => Said::Wrong,
    }
}
