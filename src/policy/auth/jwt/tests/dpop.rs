//! Proofs that a client has its token's key (RFC 9449, RFC 7638).

use super::*;
use crate::config::EncodedSlash;
use crate::http::Field;
use crate::policy::auth::jwt::{Bound, Fault, Json, Proof, ProofAsked, Scheme, proof_shown};

const ASKED: ProofAsked<'_> = ProofAsked {
    method: b"GET",
    scheme: b"https",
    authority: b"api.example:8443",
    path: b"/orders/a%2Fb",
    slash: EncodedSlash::Keep,
    token: b"token",
};
const TARGET: &str = "https://api.example:8443/orders/a%2Fb";

fn ath(token: &[u8]) -> String {
    coded(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token))
}

fn said() -> Value {
    json!({ "htm": "GET", "htu": TARGET, "iat": NOW, "jti": "1", "ath": ath(b"token") })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = said();
    claims[name] = value;
    claims
}

fn header(signer: &Signer) -> Value {
    json!({ "typ": "dpop+jwt", "alg": signer.algorithm(), "jwk": signer.jwk() })
}

fn read(text: &str) -> Result<Proof, Fault> {
    Proof::read(text.as_bytes(), &ASKED, NOW, 60)
}

fn judged(claims: Value) -> Result<Proof, Fault> {
    let signer = Signer::ed();
    read(&signer.token_with(&header(&signer), &claims))
}

#[test]
fn rfc_9449_7_1() {
    let proof = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjN\
                 oUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5V\
                 ERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwi\
                 aHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2\
                 MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhr\
                 tNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA";
    let asked = ProofAsked {
        authority: b"resource.example.org",
        path: b"/protectedresource",
        token: b"Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU",
        ..ASKED
    };
    let read = Proof::read(proof.as_bytes(), &asked, 1_562_262_618, 0).expect("it holds");
    assert_eq!(&*read.thumbprint, "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
    assert_eq!(read.ends_at, 1_562_262_678);
    let other = ProofAsked { token: b"Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxV", ..asked };
    assert_eq!(Proof::read(proof.as_bytes(), &other, 1_562_262_618, 0), Err(Fault::Token));
}

#[test]
fn keys_of_all_kinds_prove() {
    for signer in [
        Signer::es256(),
        Signer::ec("ES384", "P-384", &signature::ECDSA_P384_SHA384_FIXED_SIGNING),
        Signer::ed(),
        Signer::rsa("PS256"),
    ] {
        let proof = read(&signer.token_with(&header(&signer), &said())).expect("it holds");
        assert_eq!(proof.thumbprint.len(), 43);
    }
}

#[test]
fn a_proof_is_of_its_own_type() {
    let signer = Signer::ed();
    for (kind, fault) in [
        (json!("JWT"), Some(Fault::Type)),
        (json!("at+jwt"), Some(Fault::Type)),
        (Value::Null, Some(Fault::Type)),
        (json!("DPoP+JWT"), None),
    ] {
        let mut header = header(&signer);
        header["typ"] = kind;
        assert_eq!(read(&signer.token_with(&header, &said())).err(), fault, "{header}");
    }
}

#[test]
fn only_a_public_key_of_the_proofs_algorithm_proves() {
    let (signer, other) = (Signer::ed(), Signer::es256());
    let with_key = |jwk: Value, alg: &str| {
        signer.token_with(&json!({ "typ": "dpop+jwt", "alg": alg, "jwk": jwk }), &said())
    };
    let mut private = signer.jwk();
    private["d"] = coded([1; 32]).into();
    let secret = json!({ "kty": "oct", "k": coded([1; 32]) });
    for (text, fault) in [
        (with_key(private, "EdDSA"), Fault::Key),
        (with_key(secret.clone(), "EdDSA"), Fault::Key),
        (with_key(secret, "HS256"), Fault::Algorithm),
        (with_key(signer.jwk(), "none"), Fault::Algorithm),
        (with_key(other.jwk(), "EdDSA"), Fault::Key),
        (with_key(Signer::ed().jwk(), "EdDSA"), Fault::Signature),
        (with_key(json!({}), "EdDSA"), Fault::Key),
        (signer.token(&said()), Fault::Type),
        ("nonsense".into(), Fault::Malformed),
        (format!("{}.", "a".repeat(5000)), Fault::Malformed),
    ] {
        assert_eq!(read(&text), Err(fault), "{text}");
    }
    let no_key = json!({ "typ": "dpop+jwt", "alg": "EdDSA" });
    assert_eq!(read(&signer.token_with(&no_key, &said())), Err(Fault::Key));
    let mut critical = header(&signer);
    critical["crit"] = json!(["exp"]);
    assert_eq!(read(&signer.token_with(&critical, &said())), Err(Fault::Malformed));
}

#[test]
fn a_proof_is_for_one_method_and_token() {
    for wrong in ["get", "POST", ""] {
        assert_eq!(judged(with("htm", wrong.into())), Err(Fault::Method), "{wrong}");
    }
    for wrong in [ath(b"tokem"), String::new(), ath(b"token").to_uppercase()] {
        assert_eq!(judged(with("ath", wrong.clone().into())), Err(Fault::Token), "{wrong}");
    }
}

#[test]
fn what_is_missing_is_malformed() {
    for name in ["htm", "htu", "iat", "jti", "ath"] {
        let mut claims = said();
        claims.as_object_mut().unwrap().remove(name);
        assert_eq!(judged(claims), Err(Fault::Malformed), "{name}");
        assert_eq!(judged(with(name, json!(["x"]))), Err(Fault::Malformed), "{name}");
    }
    assert_eq!(judged(with("jti", "".into())), Err(Fault::Malformed));
}

#[test]
fn urls_are_compared_by_what_they_mean() {
    for same in [
        TARGET,
        "HTTPS://API.example:8443/orders/a%2fb",
        "https://api.example:8443/orders/x/../a%2Fb?q=1#f",
        "https://api.example:8443/%6Frders/a%2Fb",
    ] {
        assert!(judged(with("htu", same.into())).is_ok(), "{same}");
    }
    for other in [
        "http://api.example:8443/orders/a%2Fb",
        "https://api.example/orders/a%2Fb",
        "https://api.example:8443/orders/a/b",
        "https://api.example:8443/orders/a%2Fb/",
        "https://api.example:8443",
        "https://user@api.example:8443/orders/a%2Fb",
        "https://api.example:8443@evil.example/orders/a%2Fb",
        "https://api.example.evil:8443/orders/a%2Fb",
        "https://api.example:8443/../orders/a%2Fb",
        "https://api.example:8443/orders/a%2Fb%00",
        "/orders/a%2Fb",
        "https://",
        "",
    ] {
        assert_eq!(judged(with("htu", other.into())), Err(Fault::Target), "{other}");
    }
    let signer = Signer::ed();
    let at = |url: &str, asked: &ProofAsked<'_>| {
        let text = signer.token_with(&header(&signer), &with("htu", url.into()));
        Proof::read(text.as_bytes(), asked, NOW, 60).is_ok()
    };
    let root = ProofAsked { authority: b"api.example:443", path: b"/", ..ASKED };
    assert!(at("https://api.example", &root) && at("https://api.example:443/", &root));
    assert!(!at("https://api.example:80/", &root));
    let nobody = ProofAsked { authority: b"", ..root };
    assert!(!at("https:///", &nobody));
}

#[test]
fn a_proof_holds_for_a_minute() {
    for (made, fault) in [
        (json!(NOW), None),
        (json!(NOW - 59), None),
        (json!(NOW as f64 - 0.5), None),
        (json!(NOW - 60), Some(Fault::Time)),
        (json!(0), Some(Fault::Time)),
        (json!(-1), Some(Fault::Time)),
        (json!(NOW + 60), None),
        (json!(NOW + 61), Some(Fault::Time)),
        (json!(1e300), Some(Fault::Time)),
    ] {
        assert_eq!(judged(with("iat", made.clone())).err(), fault, "{made}");
    }
}

#[test]
fn proofs_of_other_keys_or_names_are_others() {
    let (one, two) = (Signer::ed(), Signer::ed());
    let id = |signer: &Signer, name: &str| {
        read(&signer.token_with(&header(signer), &with("jti", name.into()))).expect("it holds").id
    };
    assert_eq!(id(&one, "1"), id(&one, "1"));
    assert_ne!(id(&one, "1"), id(&one, "2"));
    assert_ne!(id(&one, "1"), id(&two, "1"));
}

#[test]
fn there_is_one_proof() {
    use crate::http::{Known, Span};
    let buf = b"DPoPabcdpopdef";
    let field = |at: usize| {
        let (name, value) = (Span::new(at, at + 4), Span::new(at + 4, at + 7));
        Field { name, value, known: Known::Other, hop: false }
    };
    assert_eq!(proof_shown(&[], buf), Err(Fault::Missing));
    assert_eq!(proof_shown(&[field(0)], buf), Ok(b"abc".as_slice()));
    assert_eq!(proof_shown(&[field(7)], buf), Ok(b"def".as_slice()));
    assert_eq!(proof_shown(&[field(0), field(7)], buf), Err(Fault::Several));
}

#[test]
fn a_token_is_shown_as_it_is_bound() {
    let token = |bound| Verified { claims: Json::Null, ends_at: 0, application: None, bound };
    let key = token(Some(Bound::Key("k".into())));
    let certificate = token(Some(Bound::Certificate("c".into())));
    let free = token(None);
    let (bearer, dpop) = (Scheme::Bearer, Scheme::Dpop);
    let refused = Err(Refusal::NotBound);
    for (token, scheme, [off, optional, required]) in [
        (&key, dpop, [refused, Ok(Some("k")), Ok(Some("k"))]),
        (&key, bearer, [refused, refused, refused]),
        (&free, bearer, [Ok(None), Ok(None), refused]),
        (&free, dpop, [refused, refused, refused]),
        (&certificate, bearer, [Ok(None), Ok(None), refused]),
        (&certificate, dpop, [refused, refused, refused]),
    ] {
        for (mode, wanted) in
            [(Dpop::Off, off), (Dpop::Optional, optional), (Dpop::Required, required)]
        {
            let verdict = token.holder(scheme, mode, Some("c"));
            assert_eq!(verdict, wanted, "{:?} {scheme:?} {mode:?}", token.bound);
        }
    }
    assert_eq!(certificate.holder(bearer, Dpop::Off, None), refused);
}
