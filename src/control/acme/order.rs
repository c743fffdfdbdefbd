//! One order: from a name to its certificate (RFC 8555 section 7.4).

use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeType, Error, Identifier,
    KeyAuthorization, NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256};

use super::client::Http;
use super::failure::{Failure, Kind};
use super::proof::Proofs;
use super::publish::Publisher;
use crate::config::acme::Challenge;
use crate::limits::ACME_POLLING;
use crate::store;

/// An order to be made.
pub(super) struct Ordering<'a> {
    pub(super) account: &'a Account,
    pub(super) http: &'a Http,
    pub(super) name: &'a str,
    pub(super) challenge: Challenge,
    /// The certificate that the new one takes the place of (RFC 9773 section 5).
    pub(super) replaces: Option<CertificateIdentifier<'a>>,
    pub(super) publisher: &'a Publisher,
}

impl Ordering<'_> {
    /// A new certificate. What proved the name may still be published afterwards.
    pub(super) async fn run(self) -> Result<store::Certificate, Failure> {
        let identifiers = [Identifier::Dns(self.name.to_owned())];
        let mut asked = NewOrder::new(&identifiers);
        if let Some(replaces) = &self.replaces {
            asked = asked.replaces(replaces.clone());
        }
        let mut order = self.account.new_order(&asked).await.map_err(|e| self.failed(&e))?;
        self.prove(&mut order).await?;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(own)?;
        let mut params = CertificateParams::new([self.name.to_owned()]).map_err(own)?;
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&key).map_err(own)?;
        order.finalize_csr(request.der()).await.map_err(|e| self.failed(&e))?;
        let chain = order.poll_certificate(&polling()).await.map_err(|e| self.failed(&e))?;
        Ok(store::Certificate { chain, key: key.serialize_pem() })
    }

    /// Proves the name, where the server does not know that yet.
    async fn prove(&self, order: &mut Order) -> Result<(), Failure> {
        if order.state().status == OrderStatus::Ready {
            return Ok(());
        }
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(|e| self.failed(&e))?;
            match authorization.status {
                AuthorizationStatus::Valid => continue,
                AuthorizationStatus::Pending => {}
                status => return Err(refused(format!("the name's authorization is {status:?}"))),
            }
            let kind = match self.challenge {
                Challenge::Http01 => ChallengeType::Http01,
                Challenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
            };
            let Some(mut challenge) = authorization.challenge(kind) else {
                return Err(refused(format!(
                    "the server does not offer {}",
                    self.challenge.name()
                )));
            };
            let proofs = self.proofs(&challenge.token, &challenge.key_authorization())?;
            self.publisher.publish(proofs).await?;
            challenge.set_ready().await.map_err(|e| self.unproved(&e))?;
        }
        match order.poll_ready(&polling()).await {
            Ok(OrderStatus::Ready) => Ok(()),
            Ok(_) => Err(why_invalid(order).await),
            Err(Error::Api(problem)) => Err(self.unproved(&Error::Api(problem))),
            Err(error) => Err(self.failed(&error)),
        }
    }

    fn proofs(&self, token: &str, authorization: &KeyAuthorization) -> Result<Proofs, Failure> {
        match self.challenge {
            Challenge::Http01 => Ok(Proofs::token(token, authorization)),
            Challenge::TlsAlpn01 => Proofs::certificate(self.name, authorization),
        }
    }

    fn failed(&self, error: &Error) -> Failure {
        Failure::of(error, &self.http.heard())
    }

    /// A refusal that is about the proof.
    fn unproved(&self, error: &Error) -> Failure {
        let failure = self.failed(error);
        let kind = if failure.kind == Kind::Refused { Kind::Challenge } else { failure.kind };
        Failure { kind, ..failure }
    }
}

/// What the server has against the proof: an order that fails says less than its challenges.
async fn why_invalid(order: &mut Order) -> Failure {
    let mut why = "the server did not find the proof".to_owned();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else { continue };
        let problem = state.challenges.iter().find_map(|challenge| challenge.error.as_ref());
        if let Some(problem) = problem {
            why = problem.to_string();
        }
    }
    Failure::new(Kind::Challenge, why)
}

fn refused(why: String) -> Failure {
    Failure::new(Kind::Refused, why)
}

fn own(error: rcgen::Error) -> Failure {
    Failure::new(Kind::Certificate, format!("it can't be asked for: {error}"))
}

fn polling() -> RetryPolicy {
    RetryPolicy::new().timeout(ACME_POLLING)
}
