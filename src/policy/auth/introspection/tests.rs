use std::rc::Rc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::config::TokenRules;
use crate::config::file::OnError;
use crate::policy::auth::jwt::Bound;

const NOW: u64 = 1_800_000_000;

fn introspector(says: TokenRules, secret: u8) -> Introspector {
    let rules = Introspection {
        url: "http://127.0.0.1/".into(),
        roots: None,
        client: None,
        timeout: Duration::from_secs(1),
        says,
        cache: 64 * 1024,
        ceiling: Duration::from_secs(60),
        negative: Duration::from_secs(10),
        on_error: OnError::Refuse,
    };
    let service = Service::new("introspection:main", rules.timeout, [secret; 32], 1);
    let asks: Asks = Box::new(|_| Box::pin(async { Err("nobody is there".to_owned()) }));
    Introspector { name: "main".into(), rules: Arc::new(rules), service: Arc::new(service), asks }
}

fn judged(says: TokenRules, answer: &str) -> Known {
    introspector(says, 1).judge(&Said::read(answer.as_bytes()).expect(answer), NOW)
}

#[test]
fn what_is_sent_is_encoded() {
    assert_eq!(question(b"abc-_.~"), b"token=abc-_.%7E&token_type_hint=access_token");
    let told = authorization("a:b", "c d%");
    assert_eq!(told, format!("Basic {}", STANDARD.encode("a%3Ab:c+d%25")));
    assert_eq!(question(b"a b&c=d+/"), b"token=a+b%26c%3Dd%2B%2F&token_type_hint=access_token");
}

#[test]
fn an_answer_says_whether_the_token_is_active() {
    let read = |text: &str| Said::read(text.as_bytes());
    assert_eq!(read(r#"{"active":false}"#), Ok(Said::Inactive));
    assert_eq!(read(r#"{"active":false,"exp":"whatever"}"#), Ok(Said::Inactive));
    assert!(matches!(read(r#"{"active":true,"client_id":"a"}"#), Ok(Said::Active(_))));
    for wrong in [
        "",
        "null",
        "[true]",
        "{}",
        r#"{"active":"true"}"#,
        r#"{"active":1}"#,
        r#"{"active":null}"#,
        r#"{"active":true,"active":false}"#,
        r#"{"active":true}x"#,
        r#"{"active":true"#,
        r#"{"active":true,"exp":"1800000001"}"#,
        r#"{"active":true,"nbf":{}}"#,
        r#"{"Active":true}"#,
    ] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_token_is_believed_until_it_ends_or_the_ceiling_is_reached() {
    let until = |text: &str| {
        let (token, until) = judged(TokenRules::default(), text);
        assert_eq!(token.unwrap().ends_at, until, "{text}");
        until
    };
    assert_eq!(until(r#"{"active":true}"#), NOW + 60);
    assert_eq!(until(r#"{"active":true,"exp":1800000030}"#), NOW + 30);
    assert_eq!(until(r#"{"active":true,"exp":1800000030.9}"#), NOW + 30);
    assert_eq!(until(r#"{"active":true,"exp":1800009999}"#), NOW + 60);
    // By our clock it has ended, by the server's not yet: it is asked again each time.
    assert_eq!(until(r#"{"active":true,"exp":1799999990}"#), NOW - 10);
}

#[test]
fn what_is_asked_of_signed_tokens_is_asked_of_these() {
    let texts = |all: &[&str]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
    let rules = TokenRules {
        issuers: texts(&["https://id.example"]),
        audiences: texts(&["orders"]),
        scopes: texts(&["read"]),
        claims: vec![("tenant".into(), texts(&["a"]))],
        application_claim: Some("sub".into()),
    };
    let good = r#"{"active":true,"iss":"https://id.example","aud":["x","orders"],"scope":"read b","tenant":"a","sub":"app"}"#;
    assert_eq!(judged(rules.clone(), good).0.unwrap().application.as_deref(), Some("app"));
    for (from, to, why) in [
        ("true", "false", Refusal::Inactive),
        ("id.example", "else.example", Refusal::Issuer),
        ("orders", "carts", Refusal::Audience),
        ("read b", "b", Refusal::Scope),
        ("\"tenant\":\"a\"", "\"tenant\":\"b\"", Refusal::Claim),
        ("\"active\":true", "\"active\":true,\"exp\":1799999000", Refusal::Expired),
        ("\"active\":true", "\"active\":true,\"nbf\":1800009000", Refusal::NotYet),
        ("\"active\":true", "\"active\":true,\"cnf\":{}", Refusal::NotBound),
    ] {
        let (refused, until) = judged(rules.clone(), &good.replacen(from, to, 1));
        assert_eq!((refused.unwrap_err(), until), (why, NOW + 10));
    }
}

#[test]
fn a_token_is_bound_as_the_server_says() {
    let answer =
        r#"{"active":true,"cnf":{"x5t#S256":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}}"#;
    let token = judged(TokenRules::default(), answer).0.unwrap();
    assert_eq!(token.bound, Some(Bound::Certificate("00".repeat(32).into())));
    assert!(!token.is_for(None, None) && token.is_for(Some(&"00".repeat(32)), None));
}

#[test]
fn what_no_token_could_be_is_not_asked_about() {
    let one = introspector(TokenRules::default(), 1);
    assert_eq!(one.digest(&[b'a'; JWT_MAX + 1]), Err(Refusal::TooLong));
    for wrong in [b"".as_slice(), b"a\tb", b"\xffabc"] {
        assert_eq!(one.digest(wrong), Err(Refusal::Malformed));
    }
    assert!(one.digest(&[b'a'; JWT_MAX]).is_ok());
}

#[test]
fn refused_tokens_drive_out_no_good_one() {
    let (one, mut cache) = (introspector(TokenRules::default(), 1), Cache::default());
    let digest = |n: u64| one.digest(n.to_string().as_bytes()).unwrap();
    let good = one.judge(&Said::read(br#"{"active":true}"#).unwrap(), NOW);
    let good = (good.0.map(Rc::new), good.1);
    cache.keep((0, &one), digest(0), &good.0, good.1);
    for n in 1..10_000 {
        cache.keep((0, &one), digest(n), &Err(Refusal::Inactive), NOW + 10);
    }
    assert_eq!(cache.token((0, &one), &digest(0), NOW + 59), Some(good.0.clone()));
    assert_eq!(cache.token((0, &one), &digest(0), NOW + 60), None);
    assert_eq!(cache.token((0, &one), &digest(9_999), NOW + 9), Some(Err(Refusal::Inactive)));
    assert_eq!(cache.token((0, &one), &digest(9_999), NOW + 10), None);
    assert_eq!(cache.token((0, &one), &digest(1), NOW), None, "it is forgotten");
    assert_eq!(cache.token((1, &one), &digest(0), NOW), None);
}

#[test]
fn other_rules_forget_what_was_judged() {
    let (one, other) =
        (introspector(TokenRules::default(), 1), introspector(TokenRules::default(), 2));
    let (mut cache, digest) = (Cache::default(), one.digest(b"a").unwrap());
    cache.keep((0, &one), digest, &Err(Refusal::Inactive), NOW + 10);
    assert_eq!(cache.token((0, &other), &digest, NOW), None);
    assert_eq!(cache.token((0, &one), &digest, NOW), None);
}
