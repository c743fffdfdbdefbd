//! Who calls, and whether their plan lets them: from a request's head, the directory and the time.

use super::digest::{Digest, digest};
use super::directory::{Application, Credential, Directory};
use super::jwt::Proved;
use super::mapping::Hits;
use super::password::{self, PasswordQuestion, Said};
use super::places::Carrier;
use super::product::{Plan, Product, Way};
use crate::config::ClientAttribute;
use crate::config::file::CredentialKind;
use crate::http::Identity;
use crate::policy::limit::Charge;
use crate::policy::quota;

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
    /// What is known of passwords, by the digests of questions.
    pub passwords: &'a dyn Fn(&Digest) -> Option<bool>,
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
    /// What its plan's quotas are charged.
    pub fn quota_charges(&self) -> impl Iterator<Item = quota::Charge<'d>> + Clone + use<'_, 'd> {
        let plan = self.plan;
        self.hits.as_slice().iter().flat_map(move |hit| {
            let amount = u64::from(hit.amount);
            plan.quotas(hit.metric).iter().map(move |quota| quota::Charge { quota, amount })
        })
    }

    /// What its plan's rate limits are charged.
    pub fn charges(&self) -> impl Iterator<Item = Charge<'d>> + Clone + use<'_, 'd> {
        let plan = self.plan;
        self.hits.as_slice().iter().flat_map(move |hit| {
            let terms = plan.metrics.get(usize::from(hit.metric));
            let rules = terms.into_iter().flat_map(|terms| &terms.limits);
            rules.map(|rule| Charge { rule, amount: hit.amount })
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
    /// This must be found out first.
    Ask(Box<PasswordQuestion>),
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
    Bad,
    Of(&'d Credential),
    /// It takes an answer to say.
    Ask(Box<PasswordQuestion>),
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
    let query = asked.carrier.query;
    let hits = product.mapping.hits(asked.method, asked.path, query);
    let hits = hits.ok_or(Refusal::NoMappingRule)?;
    let is_off = |metric: u16| plan.metrics.get(usize::from(metric)).is_none_or(|terms| terms.off);
    if hits.as_slice().iter().any(|hit| is_off(hit.metric)) {
        return Err(Refusal::MethodOff.into());
    }
    let credential = caller.map(|credential| credential.id);
    Ok(Admitted { product, application, credential, plan, hits })
}

/// Whose credential the request carries; `None`: nobody's, and that is enough.
fn authenticate<'d>(
    directory: &'d Directory,
    slot: u32,
    product: &Product,
    asked: &Asked<'_>,
) -> Result<Option<&'d Credential>, Stop> {
    let mut first: Option<&Credential> = None;
    let mut absent = 0;
    for way in &product.ways {
        match prove(directory, product, *way, asked) {
            Proof::Absent => absent += 1,
            Proof::Bad => return Err(Refusal::BadCredential.into()),
            Proof::Ask(question) => return Err(Stop::Ask(question)),
            Proof::Of(credential) => {
                let fits = credential.application.product == slot
                    && credential.ends_at > asked.now_s
                    && first.is_none_or(|f| f.application.id == credential.application.id);
                if !fits {
                    return Err(Refusal::BadCredential.into());
                }
                if !product.all_ways {
                    return Ok(Some(credential));
                }
                first.get_or_insert(credential);
            }
        }
    }
    match first {
        _ if absent == product.ways.len() && product.anonymous_plan.is_some() => Ok(None),
        Some(credential) if absent == 0 => Ok(Some(credential)),
        _ => Err(Refusal::NoCredential.into()),
    }
}

fn prove<'d>(
    directory: &'d Directory,
    product: &Product,
    way: Way,
    asked: &Asked<'_>,
) -> Proof<'d> {
    let places = &product.places;
    match way {
        Way::UserKey => match asked.carrier.find(&places.user_key) {
            None => Proof::Absent,
            Some(key) => known(directory, digest_of(directory, CredentialKind::UserKey, &[&key])),
        },
        Way::AppKey => {
            let id = asked.carrier.find(&places.app_id);
            match (id, asked.carrier.find(&places.app_key)) {
                (None, None) => Proof::Absent,
                (Some(id), Some(key)) => {
                    known(directory, digest_of(directory, CredentialKind::AppKey, &[&id, &key]))
                }
                _ => Proof::Bad,
            }
        }
        Way::Basic => match asked.carrier.basic() {
            None => Proof::Absent,
            Some((user, password)) => {
                match password::whose(directory, (&user, &password), asked.passwords) {
                    Said::Known(credential) => Proof::Of(credential),
                    Said::Wrong => Proof::Bad,
                    Said::Unknown(question) => Proof::Ask(question),
                }
            }
        },
        Way::Jwt(index) => match asked.tokens.get(usize::from(index)) {
            None | Some(Proved::Absent) => Proof::Absent,
            Some(Proved::Refused(_)) => Proof::Bad,
            Some(Proved::Token(token)) => {
                let verifier = product.verifiers.get(usize::from(index));
                let Some((verifier, claim)) = verifier.zip(token.application.as_ref()) else {
                    return Proof::Bad;
                };
                let parts = [verifier.as_bytes(), claim.as_bytes()];
                known(directory, digest_of(directory, CredentialKind::Jwt, &parts))
            }
        },
        Way::Certificate => {
            let Some(identity) = asked.identity else { return Proof::Absent };
            let by = |attribute| {
                let text = identity.text(attribute).as_bytes();
                let digest = digest_of(directory, CredentialKind::Certificate, &[text]);
                directory.credential(&digest).filter(|_| !text.is_empty())
            };
            let found = by(ClientAttribute::Fingerprint).or_else(|| by(ClientAttribute::Subject));
            found.map_or(Proof::Bad, Proof::Of)
        }
    }
}

fn digest_of(directory: &Directory, kind: CredentialKind, parts: &[&[u8]]) -> Digest {
    digest(&directory.secret, kind, parts)
}

fn known(directory: &Directory, digest: Digest) -> Proof<'_> {
    directory.credential(&digest).map_or(Proof::Bad, Proof::Of)
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::sync::Arc;

    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::http::{Field, Known, Span};
    use crate::policy::auth::compile::tests::compiled;
    use crate::policy::auth::jwt::{self, Json, Verified};
    use crate::policy::auth::{Hit, Presented};

    const SECRET: Digest = [7; 32];
    const SLOT: u32 = 3;

    const SHOP: &str = r#"
mapping_rules = [
    { method = "GET", pattern = "/orders", metric = "list" },
    { method = "POST", pattern = "/orders$", metric = "create", increment = 5 },
]
methods = [{ name = "list" }, { name = "create" }]

[credentials]
user_key = ["header:X-API-Key", "query:key"]

[plans.bronze]
methods = ["list"]
limits = [{ rate = "100/m" }]

[plans.gold]
limits = [{ rate = "1000/m" }, { metric = "create", rate = "10/s", burst = 20 }]
"#;

    fn directory(applications: &[(&str, Application, u64)]) -> Directory {
        let mut directory = Directory::empty(SECRET);
        directory.change(applications.iter().enumerate().map(
            |(n, (key, application, ends_at))| {
                let digest = digest(&SECRET, CredentialKind::UserKey, &[key.as_bytes()]);
                let application = Arc::new(Application {
                    lines: application.lines.clone(),
                    app_id: application.app_id.clone(),
                    ..*application
                });
                let id = 100 + n as u64;
                (digest, Some(Credential { id, application, ends_at: *ends_at, password: None }))
            },
        ));
        directory
    }

    fn application(id: u64, plan: u32) -> Application {
        Application {
            id,
            account: 9,
            product: SLOT,
            plan,
            app_id: format!("app{id}").into(),
            suspended: false,
            ends_at: u64::MAX,
            lines: Box::default(),
        }
    }

    fn refusal(stop: Stop) -> Refusal {
        match stop {
            Stop::Refused(refusal) => refusal,
            Stop::Ask(_) => panic!("nothing is to be asked here"),
        }
    }

    /// A request with these fields, each a name and a value.
    struct Call {
        buf: Vec<u8>,
        fields: Vec<Field>,
    }

    impl Call {
        fn with(lines: &[(&str, &str)]) -> Self {
            let mut call = Self { buf: Vec::new(), fields: Vec::new() };
            for (name, value) in lines {
                let mut span = |text: &str| {
                    let start = call.buf.len();
                    call.buf.extend_from_slice(text.as_bytes());
                    Span::new(start, call.buf.len())
                };
                let (name, value) = (span(name), span(value));
                call.fields.push(Field { name, value, known: Known::Other, hop: false });
            }
            call
        }

        fn admitted<'d>(
            &self,
            directory: &'d Directory,
            product: &'d Product,
            (method, path, query): (&str, &str, Option<&str>),
        ) -> Result<Admitted<'d>, Refusal> {
            let query = query.map(str::as_bytes);
            let asked = Asked {
                method: method.as_bytes(),
                path: path.as_bytes(),
                carrier: Carrier { fields: &self.fields, buf: &self.buf, query },
                identity: None,
                tokens: &[],
                passwords: &|_| None,
                now_s: 1000,
            };
            admit(directory, SLOT, product, &asked).map_err(refusal)
        }
    }

    #[test]
    fn a_key_lets_its_application_in_by_its_plan() {
        let product = compiled(SHOP).unwrap();
        let directory =
            directory(&[("k1", application(1, 1), u64::MAX), ("k2", application(2, 2), 1001)]);
        let call = Call::with(&[("x-api-key", "k1")]);
        let admitted = call.admitted(&directory, &product, ("GET", "/orders/7", None)).unwrap();
        assert_eq!((admitted.application.unwrap().id, admitted.credential), (1, Some(100)));
        assert_eq!(&*admitted.plan.name, "bronze");
        assert_eq!(
            admitted.hits.as_slice(),
            [Hit { metric: 1, amount: 1 }, Hit { metric: 0, amount: 1 }]
        );
        let names: Vec<_> = admitted.charges().map(|c| (c.rule.name(), c.amount)).collect();
        assert_eq!(names, [("hits-60s", 1)]);
        let call = Call::with(&[]);
        let asked = ("POST", "/orders", Some("a=1&key=k2"));
        let admitted = call.admitted(&directory, &product, asked).unwrap();
        let names: Vec<_> = admitted.charges().map(|c| (c.rule.name(), c.amount)).collect();
        assert_eq!(names, [("create-1s", 5), ("hits-60s", 5)]);
    }

    #[test]
    fn refusals_come_in_order() {
        let product = compiled(SHOP).unwrap();
        let other = Application { product: SLOT + 1, ..application(2, 1) };
        let suspended = Application { suspended: true, ends_at: 0, ..application(3, 1) };
        let ended = Application { ends_at: 1000, ..application(4, 1) };
        let directory = directory(&[
            ("live", application(1, 1), u64::MAX),
            ("expired", application(1, 1), 1000),
            ("other", other, u64::MAX),
            ("suspended", suspended, u64::MAX),
            ("ended", ended, u64::MAX),
            ("planless", application(5, 9), u64::MAX),
        ]);
        let refusal = |key: &str, method, path| {
            let call = Call::with(&[("x-api-key", key)]);
            call.admitted(&directory, &product, (method, path, None)).map(drop)
        };
        assert_eq!(refusal("", "GET", "/orders"), Err(Refusal::NoCredential));
        for key in ["unknown", "expired", "other"] {
            assert_eq!(refusal(key, "GET", "/orders"), Err(Refusal::BadCredential), "{key}");
        }
        assert_eq!(refusal("suspended", "GET", "/nothing"), Err(Refusal::Suspended));
        assert_eq!(refusal("planless", "GET", "/orders"), Err(Refusal::Suspended));
        assert_eq!(refusal("ended", "GET", "/nothing"), Err(Refusal::Expired));
        assert_eq!(refusal("live", "GET", "/nothing"), Err(Refusal::NoMappingRule));
        assert_eq!(refusal("live", "POST", "/orders"), Err(Refusal::MethodOff));
        assert_eq!(refusal("live", "GET", "/orders"), Ok(()));
    }

    #[test]
    fn a_token_lets_the_application_in_that_its_claim_names() {
        let text = r#"
authentication = { any_of = ["jwt:main", "jwt:other", "user_key"] }
plans = { bronze = {} }
"#;
        let product = compiled(text).unwrap();
        assert_eq!(product.verifiers, ["main".into(), "other".into()]);
        assert!(product.secrets.fields.has(b"authorization"));
        let challenge = String::from_utf8(product.challenge.to_vec()).unwrap();
        assert!(challenge.contains("WWW-Authenticate: Bearer realm="), "{challenge}");
        let mut directory = directory(&[("k1", application(1, 1), u64::MAX)]);
        let known = digest(&directory.secret, CredentialKind::Jwt, &[b"other", b"client"]);
        let credential = Credential {
            id: 300,
            application: application(3, 1).into(),
            ends_at: u64::MAX,
            password: None,
        };
        directory.change([(known, Some(credential))]);
        let token = |application: Option<&str>| {
            Proved::Token(Rc::new(Verified {
                claims: Json::Null,
                ends_at: 2000,
                application: application.map(Box::from),
                bound: None,
            }))
        };
        let call = Call::with(&[]);
        let of = |tokens: &[Proved]| {
            let carrier = Carrier { fields: &call.fields, buf: &call.buf, query: None };
            let (method, path) = (b"GET".as_slice(), b"/".as_slice());
            let asked = Asked {
                method,
                path,
                carrier,
                identity: None,
                tokens,
                passwords: &|_| None,
                now_s: 1000,
            };
            let admitted = admit(&directory, SLOT, &product, &asked).map_err(refusal);
            admitted.map(|admitted| admitted.application.map(|one| one.id))
        };
        assert_eq!(of(&[Proved::Absent, token(Some("client"))]), Ok(Some(3)));
        // The same claim of another issuer is another client, and an unknown one is nobody.
        for bad in [token(Some("client")), token(None), Proved::Refused(jwt::Refusal::Expired)] {
            assert_eq!(of(&[bad, Proved::Absent]), Err(Refusal::BadCredential));
        }
        assert_eq!(of(&[Proved::Absent, token(Some("else"))]), Err(Refusal::BadCredential));
        assert_eq!(of(&[Proved::Absent, Proved::Absent]), Err(Refusal::NoCredential));
    }

    #[test]
    fn a_changed_directory_refuses_and_the_old_one_does_not() {
        let product = compiled(SHOP).unwrap();
        let before = directory(&[("k", application(1, 1), u64::MAX)]);
        let mut after = before.clone();
        after.change([(digest(&SECRET, CredentialKind::UserKey, &[b"k"]), None)]);
        let call = Call::with(&[("x-api-key", "k")]);
        let asked = ("GET", "/orders", None);
        assert!(call.admitted(&before, &product, asked).is_ok());
        assert_eq!(call.admitted(&after, &product, asked).map(drop), Err(Refusal::BadCredential));
    }

    #[test]
    fn an_app_key_needs_its_id() {
        let product = compiled("authentication.any_of = [\"app_key\"]\nplans.p = {}").unwrap();
        let mut directory = Directory::empty(SECRET);
        let credential = Credential {
            id: 1,
            application: application(1, 1).into(),
            ends_at: u64::MAX,
            password: None,
        };
        let known = digest(&SECRET, CredentialKind::AppKey, &[b"id", b"key"]);
        directory.change([(known, Some(credential))]);
        let verdict = |lines: &[(&str, &str)]| {
            Call::with(lines).admitted(&directory, &product, ("GET", "/", None)).map(drop)
        };
        assert_eq!(verdict(&[("App-Id", "id"), ("App-Key", "key")]), Ok(()));
        assert_eq!(verdict(&[("App-Id", "id")]), Err(Refusal::BadCredential));
        assert_eq!(verdict(&[("App-Id", "idk"), ("App-Key", "ey")]), Err(Refusal::BadCredential));
        assert_eq!(verdict(&[("X-API-Key", "key")]), Err(Refusal::NoCredential));
    }

    #[test]
    fn a_password_is_asked_about_and_another_hash_is_another_question() {
        let product = compiled("authentication.any_of = [\"user_key\", \"basic\"]\nplans.p = {}");
        let product = product.unwrap();
        let mut directory = directory(&[("k1", application(1, 1), u64::MAX)]);
        let user = digest(&SECRET, CredentialKind::Basic, &[b"ann"]);
        let with = |hash: Option<&str>| {
            let application = application(2, 1).into();
            let password = hash.map(Into::into);
            Credential { id: 7, application, ends_at: u64::MAX, password }
        };
        let verdict = |directory: &Directory, basic: &str, outcome: Option<bool>| {
            let basic = format!("Basic {}", STANDARD.encode(basic));
            let call = Call::with(&[("authorization", &basic)]);
            let asked = Asked {
                method: b"GET",
                path: b"/",
                carrier: Carrier { fields: &call.fields, buf: &call.buf, query: None },
                identity: None,
                tokens: &[],
                passwords: &|_| outcome,
                now_s: 1000,
            };
            match admit(directory, SLOT, &product, &asked) {
                Ok(admitted) => Ok(admitted.credential),
                Err(Stop::Ask(question)) => Err(Some((question.digest, question.hash.is_some()))),
                Err(Stop::Refused(refusal)) => {
                    assert_eq!(refusal, Refusal::BadCredential);
                    Err(None)
                }
            }
        };
        let unknown = verdict(&directory, "ann:a:b", None).unwrap_err().unwrap();
        assert!(!unknown.1);
        // Whoever is not known is not let in, whatever an answer says.
        assert_eq!(verdict(&directory, "ann:a:b", Some(true)), Err(None));
        directory.change([(user, Some(with(Some("hash"))))]);
        let known = verdict(&directory, "ann:a:b", None).unwrap_err().unwrap();
        assert!(known.1 && known.0 != unknown.0);
        assert_ne!(verdict(&directory, "ann:a:c", None).unwrap_err().unwrap().0, known.0);
        assert_eq!(verdict(&directory, "ann:a:b", Some(true)), Ok(Some(7)));
        assert_eq!(verdict(&directory, "ann:a:b", Some(false)), Err(None));
        directory.change([(user, Some(with(Some("other"))))]);
        assert_ne!(verdict(&directory, "ann:a:b", None).unwrap_err().unwrap().0, known.0);
        directory.change([(user, Some(with(None)))]);
        assert_eq!(verdict(&directory, "ann:a:b", Some(true)), Err(None));
    }

    #[test]
    fn of_several_ways_one_or_all_must_succeed() {
        let words = |list: &str| {
            format!(
                "authentication.{list} = [\"user_key\", \"app_key\"]\nplans.p = {{}}\n\
                 authentication.anonymous_plan = \"p\""
            )
        };
        let mut directory = directory(&[("k1", application(1, 1), u64::MAX)]);
        for (id, key) in [(1, b"a"), (2, b"b")] {
            let credential = Credential {
                id: 50 + id,
                application: application(id, 1).into(),
                ends_at: u64::MAX,
                password: None,
            };
            let known = digest(&SECRET, CredentialKind::AppKey, &[b"id", key]);
            directory.change([(known, Some(credential))]);
        }
        let (any, all) = (compiled(&words("any_of")).unwrap(), compiled(&words("all_of")).unwrap());
        let verdict = |product: &Product, lines: &[(&str, &str)]| {
            let call = Call::with(lines);
            let admitted = call.admitted(&directory, product, ("GET", "/", None));
            admitted.map(|admitted| admitted.credential)
        };
        let (key, a, b) = (("x-api-key", "k1"), ("app-key", "a"), ("app-key", "b"));
        let id = ("app-id", "id");
        assert_eq!(verdict(&any, &[key]), Ok(Some(100)));
        assert_eq!(verdict(&any, &[id, b]), Ok(Some(52)));
        assert_eq!(verdict(&any, &[("x-api-key", "bad"), id, a]), Err(Refusal::BadCredential));
        assert_eq!(verdict(&any, &[]), Ok(None));
        assert_eq!(verdict(&all, &[key, id, a]), Ok(Some(100)));
        assert_eq!(verdict(&all, &[key]), Err(Refusal::NoCredential));
        // Another application's key proves nothing.
        assert_eq!(verdict(&all, &[key, id, b]), Err(Refusal::BadCredential));
        assert_eq!(verdict(&all, &[]), Ok(None));
    }

    #[test]
    fn upstreams_are_told_who_calls_and_clients_cannot_say_it() {
        let words = format!("{SHOP}attributes = {{ X-Tier = \"gold\" }}");
        let product = compiled(&words).unwrap();
        let tagged = Application { lines: (*b"X-Region: eu\r\n").into(), ..application(2, 2) };
        let directory = directory(&[("k1", application(1, 2), u64::MAX), ("k2", tagged, u64::MAX)]);
        let call = Call::with(&[("x-api-key", "k1")]);
        let admitted = call.admitted(&directory, &product, ("GET", "/orders", None)).unwrap();
        let Admitted { application, plan, .. } = admitted;
        let (product, directory) = (&product, &directory);
        let presented = Presented { product, application, plan, directory };
        let mut out = Vec::new();
        presented.append(&mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "X-Tollgate-Secret: s3cret\r\nX-Tollgate-Application: app1\r\nX-Tollgate-Account: 9\r\n\
             X-Tollgate-Plan: gold\r\n\
             X-Tier: gold\r\n"
        );
        for name in ["X-API-Key", "x_api_key", "X-Tier", "x_tier", "X-Region", "X_REGION"] {
            assert!(presented.withholds(name.as_bytes()), "{name}");
        }
        assert!(!presented.withholds(b"Authorization") && !presented.withholds(b"Accept"));
    }
}
