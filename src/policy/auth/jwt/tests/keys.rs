//! Sets of keys.

use super::*;
use crate::policy::auth::jwt::{NoKeySet, Unfit};

fn read(text: &Value) -> Result<KeySet, NoKeySet> {
    KeySet::read(text.to_string().as_bytes(), &Algorithm::WITH_PUBLIC_KEY)
}

/// Why the key is left out of a set in which there is a good one too.
fn unfit(jwk: Value) -> Option<Unfit> {
    let set = set_of(&[Signer::ed().jwk(), jwk]);
    set.left_out().first().map(|(_, unfit)| *unfit)
}

fn with(mut jwk: Value, name: &str, value: Value) -> Value {
    jwk[name] = value;
    jwk
}

#[test]
fn keys_of_other_kinds_are_passed_over() {
    let ec = || Signer::es256().jwk();
    assert_eq!(unfit(ec()), None);
    for other in [
        json!({ "kty": "XYZ" }),
        json!({}),
        json!({ "kty": "OKP", "crv": "X25519", "x": "AAAA" }),
        json!({ "kty": "EC", "crv": "secp256k1", "x": "AAAA", "y": "AAAA" }),
        with(ec(), "use", "enc".into()),
        with(ec(), "use", 1.into()),
        with(ec(), "key_ops", json!(["encrypt"])),
        with(ec(), "key_ops", json!([])),
        with(ec(), "alg", "RS256".into()),
        with(ec(), "alg", "ES384".into()),
        with(ec(), "alg", "none".into()),
        with(ec(), "alg", "ECDH-ES".into()),
    ] {
        assert_eq!(unfit(other.clone()), Some(Unfit::Unknown), "{other}");
    }
    assert_eq!(unfit(with(ec(), "use", "sig".into())), None);
    assert_eq!(unfit(with(ec(), "key_ops", json!(["verify"]))), None);
    assert_eq!(unfit(with(ec(), "alg", "ES256".into())), None);
    assert_eq!(unfit(with(ec(), "what_is_this", json!({ "a": 1 }))), None);
}

#[test]
fn private_and_shared_keys_are_left_out() {
    assert_eq!(unfit(with(Signer::es256().jwk(), "d", "AAAA".into())), Some(Unfit::Private));
    assert_eq!(unfit(with(Signer::ed().jwk(), "d", "AAAA".into())), Some(Unfit::Private));
    assert_eq!(unfit(with(Signer::rsa("RS256").jwk(), "p", "AAAA".into())), Some(Unfit::Private));
    let secret = json!({ "kty": "oct", "k": coded([1; 64]) });
    assert_eq!(unfit(secret), Some(Unfit::Private));
}

#[test]
fn weak_rsa_keys_are_left_out() {
    let of_bits = |bits: usize| {
        let mut n = vec![0xff; bits.div_ceil(8)];
        n[0] >>= n.len() * 8 - bits;
        json!({ "kty": "RSA", "n": coded(n), "e": "AQAB" })
    };
    for bits in [512, 1024, 2047, 8193, 16384] {
        assert_eq!(unfit(of_bits(bits)), Some(Unfit::Weak), "{bits}");
    }
    assert_eq!(unfit(of_bits(2048)), None);
    for exponent in [[1].as_slice(), &[2], &[1, 0, 0]] {
        let key = with(of_bits(2048), "e", coded(exponent).into());
        assert_eq!(unfit(key), Some(Unfit::Weak), "{exponent:?}");
    }
    // Leading zeros, which some issuers write, make no key longer.
    let padded = [vec![0; 128], vec![0xff; 128]].concat();
    let key = json!({ "kty": "RSA", "n": coded(padded), "e": "AQAB" });
    assert_eq!(unfit(key), Some(Unfit::Weak));
}

#[test]
fn broken_keys_are_left_out() {
    let ec = || Signer::es256().jwk();
    for broken in [
        with(ec(), "x", "AAAA".into()),
        with(ec(), "y", coded([0; 33]).into()),
        with(ec(), "y", coded([1; 32]).into()),
        with(ec(), "x", "####".into()),
        with(ec(), "x", 5.into()),
        with(ec(), "kid", 5.into()),
        json!({ "kty": "EC" }),
        json!({ "kty": "RSA", "e": "AQAB" }),
        json!({ "kty": "RSA", "n": "", "e": "AQAB" }),
        json!({ "kty": "OKP", "crv": "Ed25519", "x": "AAAA" }),
    ] {
        assert_eq!(unfit(broken.clone()), Some(Unfit::Broken), "{broken}");
    }
}

#[test]
fn a_set_is_an_object_with_keys() {
    let key = Signer::ed().jwk();
    assert_eq!(read(&json!([key])).err(), Some(NoKeySet::Malformed));
    assert_eq!(read(&json!({ "keys": key })).err(), Some(NoKeySet::Malformed));
    assert_eq!(read(&key).err(), Some(NoKeySet::Malformed));
    assert_eq!(read(&json!({ "keys": [] })).err(), Some(NoKeySet::Empty));
    assert_eq!(read(&json!({ "keys": [1, null, "x"] })).err(), Some(NoKeySet::Empty));
    assert_eq!(read(&json!({ "keys": vec![&key; 101] })).err(), Some(NoKeySet::TooLong));
    let long = json!({ "keys": [key], "more": "x".repeat(crate::limits::JWKS_MAX) });
    assert_eq!(read(&long).err(), Some(NoKeySet::TooLong));
    let twice = br#"{"keys":[{"kty":"EC","kty":"RSA"}]}"#;
    let twice = KeySet::read(twice, &Algorithm::WITH_PUBLIC_KEY);
    assert_eq!(twice.err(), Some(NoKeySet::Malformed));
}

#[test]
fn the_first_of_two_keys_with_one_id_counts() {
    let (first, second) = (Signer::es256(), Signer::es256());
    let named = |signer: &Signer| with(signer.jwk(), "kid", "k".into());
    let set = set_of(&[named(&first), named(&second)]);
    assert_eq!((set.len(), set.left_out()[0].1), (1, Unfit::Duplicate));
    let verifier = verifier(plain_rules(), set);
    let token =
        |signer: &Signer| signer.token_with(&json!({ "alg": "ES256", "kid": "k" }), &good_claims());
    assert!(verifier.verify(token(&first).as_bytes(), NOW).is_ok());
    assert_eq!(refusal(verifier.verify(token(&second).as_bytes(), NOW)), Refusal::Signature);
    // Keys of different types may share an id (RFC 7517 section 4.5).
    let ed = Signer::ed();
    assert_eq!(set_of(&[named(&first), named(&ed)]).len(), 2);
}

#[test]
fn a_token_names_its_key_or_there_is_only_one() {
    let (a, b) = (Signer::es256(), Signer::es256());
    let set = || set_of(&[with(a.jwk(), "kid", "a".into()), with(b.jwk(), "kid", "b".into())]);
    let two = verifier(plain_rules(), set());
    let named = |signer: &Signer, id: &str| {
        signer.token_with(&json!({ "alg": "ES256", "kid": id }), &good_claims())
    };
    assert!(two.verify(named(&a, "a").as_bytes(), NOW).is_ok());
    assert_eq!(refusal(two.verify(named(&a, "b").as_bytes(), NOW)), Refusal::Signature);
    assert_eq!(refusal(two.verify(named(&a, "c").as_bytes(), NOW)), Refusal::UnknownKey);
    assert_eq!(refusal(two.verify(named(&a, "A").as_bytes(), NOW)), Refusal::UnknownKey);
    let nameless = a.token(&good_claims());
    assert_eq!(refusal(two.verify(nameless.as_bytes(), NOW)), Refusal::AmbiguousKey);
    let one = verifier(plain_rules(), set_of(&[a.jwk(), Signer::ed().jwk()]));
    assert!(one.verify(nameless.as_bytes(), NOW).is_ok());
    let none = verifier(plain_rules(), KeySet::default());
    assert_eq!(refusal(none.verify(nameless.as_bytes(), NOW)), Refusal::NoKeys);
}
