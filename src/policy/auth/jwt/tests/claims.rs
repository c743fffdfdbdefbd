//! What tokens must say.

use super::*;
use crate::policy::auth::jwt::Bound;

/// What becomes of these claims under these rules; the signature is good.
fn told(rules: Jwt, claims: Value) -> Result<Verified, Refusal> {
    told_with(rules, json!({ "alg": "EdDSA" }), claims)
}

fn told_with(rules: Jwt, header: Value, claims: Value) -> Result<Verified, Refusal> {
    let signer = Signer::ed();
    let token = signer.token_with(&header, &claims);
    verifier(rules, set_of(&[signer.jwk()])).verify(token.as_bytes(), NOW)
}

fn texts(all: &[&str]) -> Vec<String> {
    all.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn the_issuer_is_one_of_those_that_are_trusted() {
    let rules = saying(TokenRules {
        issuers: texts(&["https://a.example", "https://b.example"]),
        ..TokenRules::default()
    });
    let of = |issuer: Value| told(rules.clone(), json!({ "exp": NOW + 1, "iss": issuer }));
    assert!(of("https://b.example".into()).is_ok());
    for wrong in [
        json!("https://b.example/"),
        json!("HTTPS://b.example"),
        json!(["https://b.example"]),
        json!(null),
    ] {
        assert_eq!(refusal(of(wrong)), Refusal::Issuer);
    }
    assert_eq!(refusal(told(rules.clone(), json!({ "exp": NOW + 1 }))), Refusal::Issuer);
}

#[test]
fn the_audience_is_a_string_or_an_array() {
    let rules = saying(TokenRules {
        audiences: texts(&["orders", "https://api.example"]),
        ..TokenRules::default()
    });
    let of = |audience: Value| told(rules.clone(), json!({ "exp": NOW + 1, "aud": audience }));
    assert!(of("orders".into()).is_ok());
    assert!(of(json!(["else", "https://api.example"])).is_ok());
    for wrong in
        [json!("order"), json!([]), json!(["else"]), json!({ "orders": 1 }), json!([["orders"]])]
    {
        assert_eq!(refusal(of(wrong)), Refusal::Audience);
    }
    assert_eq!(refusal(told(rules.clone(), json!({ "exp": NOW + 1 }))), Refusal::Audience);
}

#[test]
fn times_hold_with_a_leeway_of_a_minute() {
    let rules = plain_rules;
    assert_eq!(refusal(told(rules(), json!({}))), Refusal::NoExpiry);
    assert_eq!(refusal(told(rules(), json!({ "exp": NOW - 60 }))), Refusal::Expired);
    assert_eq!(told(rules(), json!({ "exp": NOW - 59 })).unwrap().ends_at, NOW + 1);
    assert!(told(rules(), json!({ "exp": (NOW - 59) as f64 + 0.5 })).is_ok());
    assert!(told(rules(), json!({ "exp": NOW + 1, "nbf": NOW + 60 })).is_ok());
    let later = json!({ "exp": NOW + 900, "nbf": NOW + 61 });
    assert_eq!(refusal(told(rules(), later)), Refusal::NotYet);
    let future = json!({ "exp": NOW + 900, "iat": NOW + 61 });
    assert_eq!(refusal(told(rules(), future)), Refusal::NotYet);
    for wrong in [json!("1800000300"), json!(null), json!([NOW + 1]), json!(true)] {
        assert_eq!(refusal(told(rules(), json!({ "exp": wrong }))), Refusal::Malformed);
    }
    assert!(told(rules(), json!({ "exp": 1e300 })).is_ok());
    assert_eq!(refusal(told(rules(), json!({ "exp": -1e300 }))), Refusal::Expired);
}

#[test]
fn a_token_of_another_type_is_refused() {
    let of = |rules: Jwt, typ: Value| {
        told_with(rules, json!({ "alg": "EdDSA", "typ": typ }), good_claims())
    };
    for good in ["JWT", "jwt", "at+jwt", "application/at+jwt", "application/JWT"] {
        assert!(of(plain_rules(), good.into()).is_ok(), "{good}");
    }
    for wrong in ["logout+jwt", "dpop+jwt", "secevent+jwt", "", "at+jwt;x"] {
        assert_eq!(refusal(of(plain_rules(), wrong.into())), Refusal::Type, "{wrong}");
    }
    assert_eq!(refusal(of(plain_rules(), json!(1))), Refusal::Malformed);
    let strict = Jwt { token_type: Some("at+jwt".into()), ..plain_rules() };
    assert!(of(strict.clone(), "application/AT+JWT".into()).is_ok());
    assert_eq!(refusal(of(strict.clone(), "JWT".into())), Refusal::Type);
    assert_eq!(refusal(told(strict, good_claims())), Refusal::Type);
}

#[test]
fn all_scopes_must_be_there() {
    let rules = saying(TokenRules { scopes: texts(&["read", "write"]), ..TokenRules::default() });
    let of = |claims: Value| {
        let mut all = good_claims();
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        told(rules.clone(), all)
    };
    for good in [
        json!({ "scope": "write read" }),
        json!({ "scp": "read write" }),
        json!({ "scp": ["write", "read"] }),
        json!({ "scope": "read", "scp": ["write"] }),
    ] {
        assert!(of(good.clone()).is_ok(), "{good}");
    }
    for wrong in [
        json!({}),
        json!({ "scope": "read" }),
        json!({ "scope": "read writer" }),
        json!({ "scope": "READ WRITE" }),
        json!({ "scope": "read,write" }),
        json!({ "scopes": "read write" }),
    ] {
        assert_eq!(refusal(of(wrong.clone())), Refusal::Scope, "{wrong}");
    }
}

#[test]
fn claims_must_say_what_is_asked() {
    let asked = |name: &str, values: &[&str]| {
        let claims = vec![(name.into(), texts(values))];
        saying(TokenRules { claims, ..TokenRules::default() })
    };
    let claims = || {
        let mut claims = good_claims();
        claims["tenant"] = "a".into();
        claims["level"] = 7.into();
        claims["realm_access"] = json!({ "roles": ["user", "admin"] });
        claims
    };
    for good in [
        asked("tenant", &["b", "a"]),
        asked("level", &["7"]),
        asked("/realm_access/roles", &["admin"]),
    ] {
        assert!(told(good, claims()).is_ok());
    }
    for wrong in [
        asked("tenant", &["A"]),
        asked("missing", &["a"]),
        asked("realm_access", &["admin"]),
        asked("/realm_access/none", &["admin"]),
        asked("level", &["07"]),
    ] {
        assert_eq!(refusal(told(wrong, claims())), Refusal::Claim);
    }
}

#[test]
fn the_application_is_client_id_or_azp_or_what_is_asked_for() {
    let application = |rules: Jwt, more: Value| {
        let mut claims = json!({ "exp": NOW + 1 });
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        told(rules, claims).unwrap().application
    };
    assert_eq!(application(plain_rules(), json!({ "azp": "b" })).as_deref(), Some("b"));
    let both = json!({ "azp": "b", "client_id": "a" });
    assert_eq!(application(plain_rules(), both).as_deref(), Some("a"));
    assert_eq!(application(plain_rules(), json!({ "sub": "c" })), None);
    assert_eq!(application(plain_rules(), json!({ "client_id": "" })), None);
    let sub = saying(TokenRules { application_claim: Some("sub".into()), ..TokenRules::default() });
    assert_eq!(application(sub, json!({ "sub": "c", "azp": "b" })).as_deref(), Some("c"));
}

#[test]
fn a_bound_token_says_to_whom() {
    let bound = |to: Value| {
        let mut claims = good_claims();
        claims["cnf"] = to;
        told(plain_rules(), claims).map(|token| token.bound)
    };
    let certificate = Bound::Certificate("07".repeat(32).into());
    assert_eq!(bound(json!({ "x5t#S256": coded([7; 32]) })), Ok(Some(certificate)));
    assert_eq!(bound(json!({ "jkt": "abc" })), Ok(Some(Bound::Key("abc".into()))));
    for wrong in [
        json!({ "jwk": {} }),
        json!({}),
        json!(null),
        json!({ "jkt": 1 }),
        json!({ "x5t#S256": "abc" }),
    ] {
        assert_eq!(bound(wrong), Err(Refusal::NotBound));
    }
    let mut claims = good_claims();
    claims["cnf"] = json!({ "x5t#S256": coded([7; 32]) });
    let token = told(plain_rules(), claims).unwrap();
    assert!(token.is_for(Some(&"07".repeat(32)), None));
    assert!(!token.is_for(Some(&"08".repeat(32)), None) && !token.is_for(None, None));
    let free = told(plain_rules(), good_claims()).unwrap();
    assert!(free.is_for(None, None) && free.is_for(Some("x"), None));
    assert_eq!(told(plain_rules(), good_claims()).unwrap().bound, None);
}
