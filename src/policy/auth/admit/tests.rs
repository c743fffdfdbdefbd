use std::rc::Rc;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::http::{Field, Known, Span};
use crate::policy::auth::Digest;
use crate::policy::auth::compile::tests::compiled;
use crate::policy::auth::jwt::{self, Json, Verified};
use crate::policy::auth::{Hit, Presented};

const SECRET: Digest = [7; 32];
const SLOT: u32 = 3;
/// The id of what `compiled` makes.
const PRODUCT: u64 = 5;

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
    directory.change(applications.iter().enumerate().map(|(n, (key, application, ends_at))| {
        let digest = digest(&SECRET, (PRODUCT, CredentialKind::UserKey), &[key.as_bytes()]);
        let application = Arc::new(Application {
            lines: application.lines.clone(),
            app_id: application.app_id.clone(),
            ..*application
        });
        let id = 100 + n as u64;
        (digest, Some(Credential { id, application, ends_at: *ends_at, password: None }))
    }));
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
        Stop::Ask(_) | Stop::Unanswered(_) => panic!("nothing is to be asked here"),
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
            form: &[],
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
    assert_eq!(names, [("hits-per-minute", 1)]);
    let call = Call::with(&[]);
    let asked = ("POST", "/orders", Some("a=1&key=k2"));
    let admitted = call.admitted(&directory, &product, asked).unwrap();
    let names: Vec<_> = admitted.charges().map(|c| (c.rule.name(), c.amount)).collect();
    assert_eq!(names, [("create-per-second", 5), ("hits-per-minute", 5)]);
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
    assert!(!challenge.contains("Bearer"), "{challenge}");
    let mut directory = directory(&[("k1", application(1, 1), u64::MAX)]);
    let known = digest(&directory.secret, (PRODUCT, CredentialKind::Jwt), &[b"other", b"client"]);
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
            form: &[],
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
    for bad in [token(Some("client")), token(None)] {
        assert_eq!(of(&[bad, Proved::Absent]), Err(Refusal::BadCredential));
    }
    let refused = Proved::Refused(jwt::Refusal::Expired);
    assert_eq!(of(&[refused, Proved::Absent]), Err(Refusal::BadToken));
    assert_eq!(of(&[Proved::Absent, token(Some("else"))]), Err(Refusal::BadCredential));
    assert_eq!(of(&[Proved::Absent, Proved::Absent]), Err(Refusal::NoCredential));
}

#[test]
fn a_changed_directory_refuses_and_the_old_one_does_not() {
    let product = compiled(SHOP).unwrap();
    let before = directory(&[("k", application(1, 1), u64::MAX)]);
    let mut after = before.clone();
    after.change([(digest(&SECRET, (PRODUCT, CredentialKind::UserKey), &[b"k"]), None)]);
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
    let known = digest(&SECRET, (PRODUCT, CredentialKind::AppKey), &[b"id", b"key"]);
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
    let user = digest(&SECRET, (PRODUCT, CredentialKind::Basic), &[b"ann"]);
    let with = |hash: Option<&str>| {
        let application = application(2, 1).into();
        let password = hash.map(Into::into);
        Credential { id: 7, application, ends_at: u64::MAX, password }
    };
    let verdict = |directory: &Directory, basic: &str, outcome: Option<bool>| {
        let basic = format!("Basic {}", STANDARD.encode(basic));
        let call = Call::with(&[("authorization", &basic)]);
        let asked = Asked {
            form: &[],
            method: b"GET",
            path: b"/",
            carrier: Carrier { fields: &call.fields, buf: &call.buf, query: None },
            identity: None,
            tokens: &[],
            passwords: &|_| outcome.map(Ok),
            now_s: 1000,
        };
        match admit(directory, SLOT, &product, &asked) {
            Ok(admitted) => Ok(admitted.credential),
            Err(Stop::Ask(Wanted::Token(_)) | Stop::Unanswered(_)) => {
                panic!("only the password is to be asked about")
            }
            Err(Stop::Ask(Wanted::Password(question))) => {
                Err(Some((question.digest, question.hash.is_some())))
            }
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
        let known = digest(&SECRET, (PRODUCT, CredentialKind::AppKey), &[b"id", key]);
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
    let bad = ("x-api-key", "bad");
    assert_eq!(verdict(&any, &[bad, id, a]), Ok(Some(51)));
    assert_eq!(verdict(&any, &[key, id]), Ok(Some(100)));
    for shown in [[bad].as_slice(), &[id], &[bad, id], &[bad, id, ("app-key", "c")]] {
        assert_eq!(verdict(&any, shown), Err(Refusal::BadCredential), "{shown:?}");
    }
    assert_eq!(verdict(&any, &[]), Ok(None));
    assert_eq!(verdict(&all, &[key, id, a]), Ok(Some(100)));
    assert_eq!(verdict(&all, &[bad, id, a]), Err(Refusal::BadCredential));
    assert_eq!(verdict(&all, &[key]), Err(Refusal::NoCredential));
    // Another application's key proves nothing.
    assert_eq!(verdict(&all, &[key, id, b]), Err(Refusal::BadCredential));
    assert_eq!(verdict(&all, &[]), Ok(None));
}

#[test]
fn what_could_not_be_found_out_counts_where_nothing_is_good() {
    let directory = directory(&[("k1", application(1, 1), u64::MAX)]);
    let basic = format!("Basic {}", STANDARD.encode("ann:a"));
    let verdict = |ways: &str, key: &str| {
        let words = format!("authentication.{ways}\nplans.p = {{}}");
        let product = compiled(&words).unwrap();
        let call = Call::with(&[("x-api-key", key), ("authorization", &basic)]);
        let asked = Asked {
            form: &[],
            method: b"GET",
            path: b"/",
            carrier: Carrier { fields: &call.fields, buf: &call.buf, query: None },
            identity: None,
            tokens: &[],
            passwords: &|_| Some(Err(NoAnswer::Overloaded)),
            now_s: 1000,
        };
        match admit(&directory, SLOT, &product, &asked) {
            Ok(admitted) => Ok(admitted.credential),
            Err(Stop::Unanswered(why)) => Err(Some(why)),
            Err(_) => Err(None),
        }
    };
    for any in ["any_of = [\"basic\", \"user_key\"]", "any_of = [\"user_key\", \"basic\"]"] {
        assert_eq!(verdict(any, "k1"), Ok(Some(100)));
        assert_eq!(verdict(any, "bad"), Err(Some(NoAnswer::Overloaded)));
    }
    let all = "all_of = [\"user_key\", \"basic\"]";
    assert_eq!(verdict(all, "k1"), Err(Some(NoAnswer::Overloaded)));
    assert_eq!(verdict(all, "bad"), Err(None));
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
