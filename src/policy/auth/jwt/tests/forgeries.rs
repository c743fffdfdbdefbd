//! What Wycheproof and the history of JOSE libraries know of: each is refused, by name.

use super::*;
use crate::policy::auth::jwt::Key;
use aws_lc_rs::hmac;

fn all_signers() -> Vec<Signer> {
    vec![
        Signer::rsa("RS256"),
        Signer::rsa("PS512"),
        Signer::es256(),
        Signer::ec("ES384", "P-384", &signature::ECDSA_P384_SHA384_FIXED_SIGNING),
        Signer::ec("ES512", "P-521", &signature::ECDSA_P521_SHA512_FIXED_SIGNING),
        Signer::ed(),
    ]
}

fn judged(signer: &Signer, token: &str) -> Result<Verified, Refusal> {
    verifier(plain_rules(), set_of(&[signer.jwk()])).verify(token.as_bytes(), NOW)
}

/// The token with another signature.
fn resigned(token: &str, change: impl Fn(Vec<u8>) -> Vec<u8>) -> String {
    let (signed, signature) = token.rsplit_once('.').expect("a signature");
    let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    format!("{signed}.{}", coded(change(signature)))
}

#[test]
fn every_algorithm_verifies_what_it_signed() {
    let rsa = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"].map(Signer::rsa);
    for signer in rsa.into_iter().chain(all_signers()) {
        let told = judged(&signer, &signer.token(&good_claims())).expect("it is good");
        assert_eq!(told.application.as_deref(), Some("app"));
        assert_eq!(told.ends_at, NOW + 360);
    }
}

#[test]
fn a_signature_of_zeros_is_refused() {
    for signer in all_signers() {
        let token = resigned(&signer.token(&good_claims()), |s| vec![0; s.len()]);
        assert_eq!(refusal(judged(&signer, &token)), Refusal::Signature, "{}", signer.algorithm());
    }
}

#[test]
fn a_zero_r_or_s_is_refused() {
    for signer in all_signers().iter().filter(|s| matches!(s, Signer::Ec(..))) {
        let token = signer.token(&good_claims());
        for half in [0, 1] {
            let zeroed = resigned(&token, |mut s| {
                let middle = s.len() / 2;
                s[half * middle..(half + 1) * middle].fill(0);
                s
            });
            assert_eq!(refusal(judged(signer, &zeroed)), Refusal::Signature);
        }
    }
}

#[test]
fn r_or_s_beyond_the_order_is_refused() {
    for signer in all_signers().iter().filter(|s| matches!(s, Signer::Ec(..))) {
        let token = resigned(&signer.token(&good_claims()), |s| vec![0xff; s.len()]);
        assert_eq!(refusal(judged(signer, &token)), Refusal::Signature);
    }
}

#[test]
fn a_signature_of_another_length_is_refused() {
    for signer in all_signers() {
        let token = signer.token(&good_claims());
        let changes: [fn(Vec<u8>) -> Vec<u8>; 6] = [
            |_| Vec::new(),
            |mut s| {
                s.pop();
                s
            },
            |mut s| {
                s.push(0);
                s
            },
            |s| [vec![0], s].concat(),
            |s| [s.clone(), s].concat(),
            |s| s[..s.len() / 2].to_vec(),
        ];
        for change in changes {
            let refused = refusal(judged(&signer, &resigned(&token, change)));
            assert_eq!(refused, Refusal::Signature, "{}", signer.algorithm());
        }
    }
}

#[test]
fn ecdsa_in_der_is_refused() {
    let pair = EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key");
    let signer = Signer::Ec(pair, "ES256", "P-256");
    assert_eq!(refusal(judged(&signer, &signer.token(&good_claims()))), Refusal::Signature);
}

#[test]
fn a_token_without_signature_is_refused() {
    let signer = Signer::es256();
    for name in ["none", "None", "NONE", "nOnE", ""] {
        let head = coded(json!({ "alg": name }).to_string());
        let token = format!("{head}.{}.", coded(good_claims().to_string()));
        assert_eq!(refusal(judged(&signer, &token)), Refusal::Algorithm, "{name}");
    }
    let token = signer.token(&good_claims());
    let (signed, _) = token.rsplit_once('.').unwrap();
    assert_eq!(refusal(judged(&signer, signed)), Refusal::Malformed);
    assert_eq!(refusal(judged(&signer, &format!("{signed}."))), Refusal::Signature);
}

#[test]
fn algorithms_are_told_letter_by_letter() {
    let signer = Signer::es256();
    for name in ["es256", "Es256", "ES256 ", "ES256\u{0}", "SHA256withECDSA", "ES256K", "HS1"] {
        let token = signer.token_with(&json!({ "alg": name }), &good_claims());
        assert_eq!(refusal(judged(&signer, &token)), Refusal::Algorithm, "{name}");
    }
    for head in
        [json!({}), json!({ "alg": null }), json!({ "alg": 5 }), json!({ "alg": ["ES256"] })]
    {
        let token = signer.token_with(&head, &good_claims());
        assert_eq!(refusal(judged(&signer, &token)), Refusal::Malformed, "{head}");
    }
}

/// The public key, in every form in which it may lie around, as the secret of an HMAC.
#[test]
fn a_public_key_is_no_secret() {
    let signer = Signer::rsa("RS256");
    let jwk = signer.jwk();
    let Signer::Rsa(pair, _) = &signer else { unreachable!() };
    let n = URL_SAFE_NO_PAD.decode(jwk["n"].as_str().unwrap()).unwrap();
    let text = jwk.to_string().into_bytes();
    for secret in [pair.public_key().as_ref().to_vec(), n, text, Vec::new()] {
        for (name, hash) in [
            ("HS256", hmac::HMAC_SHA256),
            ("HS384", hmac::HMAC_SHA384),
            ("HS512", hmac::HMAC_SHA512),
        ] {
            let head = coded(json!({ "alg": name }).to_string());
            let signed = format!("{head}.{}", coded(good_claims().to_string()));
            let tag = hmac::sign(&hmac::Key::new(hash, &secret), signed.as_bytes());
            let token = format!("{signed}.{}", coded(tag));
            assert_eq!(refusal(judged(&signer, &token)), Refusal::Algorithm);
            // Not even where somebody lists the algorithm beside a set of public keys.
            let mut rules = plain_rules();
            rules.algorithms.extend([Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512]);
            let confused = verifier(rules, set_of(std::slice::from_ref(&jwk)));
            assert_eq!(refusal(confused.verify(token.as_bytes(), NOW)), Refusal::Algorithm);
        }
    }
}

#[test]
fn a_key_is_for_its_own_algorithms_only() {
    let rsa = Signer::rsa("PS256");
    let mut pinned = rsa.jwk();
    pinned["alg"] = "RS256".into();
    let verifier = verifier(plain_rules(), set_of(&[pinned]));
    let token = rsa.token(&good_claims());
    assert_eq!(refusal(verifier.verify(token.as_bytes(), NOW)), Refusal::Algorithm);
    // RS256's signature under the name of PS256, and of ES256.
    let rs256 = Signer::rsa("RS256");
    let named = |name: &str| rs256.token_with(&json!({ "alg": name }), &good_claims());
    assert_eq!(refusal(judged(&rs256, &named("PS256"))), Refusal::Signature);
    assert_eq!(refusal(judged(&rs256, &named("ES256"))), Refusal::Algorithm);
}

#[test]
fn algorithms_that_were_not_asked_for_are_refused() {
    let signer = Signer::es256();
    let rules = Jwt { algorithms: vec![Algorithm::Rs256], ..plain_rules() };
    let verifier = verifier(rules, set_of(&[signer.jwk()]));
    let token = signer.token(&good_claims());
    assert_eq!(refusal(verifier.verify(token.as_bytes(), NOW)), Refusal::Algorithm);
}

#[test]
fn keys_in_the_header_are_not_looked_at() {
    let (ours, theirs) = (Signer::es256(), Signer::es256());
    let header = json!({
        "alg": "ES256", "jwk": theirs.jwk(), "jku": "http://127.0.0.1:1/jwks", "x5c": ["AAAA"],
        "x5u": "http://127.0.0.1:1/x",
    });
    let token = theirs.token_with(&header, &good_claims());
    assert_eq!(refusal(judged(&ours, &token)), Refusal::Signature);
}

#[test]
fn what_a_header_demands_is_refused() {
    let signer = Signer::ed();
    for header in [
        json!({ "alg": "EdDSA", "crit": ["exp"], "exp": 1 }),
        json!({ "alg": "EdDSA", "crit": [] }),
        json!({ "alg": "EdDSA", "b64": false }),
    ] {
        let token = signer.token_with(&header, &good_claims());
        assert_eq!(refusal(judged(&signer, &token)), Refusal::Critical, "{header}");
    }
}

/// Each would be read as the same bytes by somebody less strict.
#[test]
fn base64_has_one_form() {
    let signer = Signer::ed();
    let token = signer.token(&good_claims());
    assert!(judged(&signer, &token).is_ok());
    // 64 bytes are 86 letters, of which the last carries four bits that say nothing.
    let last = *token.as_bytes().last().unwrap();
    let next = match last {
        b'A' => 'B',
        b'Q' => 'R',
        b'g' => 'h',
        _ => 'x',
    };
    let malleable = format!("{}{next}", &token[..token.len() - 1]);
    let mut wrong = vec![
        malleable,
        format!("{token}="),
        format!("{token}=="),
        format!(" {token}"),
        format!("{token} "),
        format!("{token}\n"),
        format!("{token}."),
        format!(".{token}"),
        token.replacen('.', "=.", 1),
        token.replacen('.', "..", 1),
        token.replace('.', ""),
        token.replacen('e', "\u{ff45}", 1),
        String::new(),
        "..".into(),
        ".".into(),
    ];
    wrong.push(format!("{}+{}", &token[..5], &token[5..]));
    for token in wrong {
        assert_eq!(refusal(judged(&signer, &token)), Refusal::Malformed, "{token:?}");
    }
}

#[test]
fn json_has_one_meaning() {
    let signer = Signer::ed();
    let signed_text = |head: &str, claims: &str| {
        let signed = format!("{}.{}", coded(head), coded(claims));
        let signature = signer.signature(signed.as_bytes());
        format!("{signed}.{}", coded(signature))
    };
    let good = good_claims().to_string();
    for (head, claims) in [
        (r#"{"alg":"EdDSA","alg":"none"}"#, good.as_str()),
        (r#"{"alg":"EdDSA"}"#, r#"{"exp":1800000300,"exp":1}"#),
        (r#"{"alg":"EdDSA"}"#, r#"[{"exp":1800000300}]"#),
        (r#"{"alg":"EdDSA"}"#, r#""text""#),
        (r#"{"alg":"EdDSA"} "x""#, good.as_str()),
        (r#"["EdDSA"]"#, good.as_str()),
        (r#"{"alg":"EdDSA","kid":7}"#, good.as_str()),
    ] {
        let token = signed_text(head, claims);
        assert_eq!(refusal(judged(&signer, &token)), Refusal::Malformed, "{head} {claims}");
    }
}

#[test]
fn a_token_that_is_too_long_is_not_read() {
    let signer = Signer::ed();
    let claims = json!({ "exp": NOW + 1, "much": "x".repeat(crate::limits::JWT_MAX) });
    assert_eq!(refusal(judged(&signer, &signer.token(&claims))), Refusal::TooLong);
}

#[test]
fn a_secret_shorter_than_its_hash_is_none() {
    for (algorithm, length) in
        [(Algorithm::Hs256, 32), (Algorithm::Hs384, 48), (Algorithm::Hs512, 64)]
    {
        assert!(Key::secret(&vec![7; length - 1], &[algorithm]).is_none());
        assert!(Key::secret(&vec![7; length], &[algorithm]).is_some());
    }
    assert!(Key::secret(&[7; 64], &[Algorithm::Rs256]).is_none());
}

#[test]
fn an_hmac_that_was_cut_short_is_refused() {
    let secret = [9; 64];
    let key = Key::secret(&secret, &[Algorithm::Hs256]).expect("long enough");
    let verifier = verifier(secret_rules(&[Algorithm::Hs256]), KeySet::of_secret(key));
    let head = coded(json!({ "alg": "HS256", "kid": "whatever" }).to_string());
    let signed = format!("{head}.{}", coded(good_claims().to_string()));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), signed.as_bytes());
    let token = |tag: &[u8]| format!("{signed}.{}", coded(tag));
    assert!(verifier.verify(token(tag.as_ref()).as_bytes(), NOW).is_ok());
    for cut in [0, 1, 8, 16, 31] {
        let short = token(&tag.as_ref()[..cut]);
        assert_eq!(refusal(verifier.verify(short.as_bytes(), NOW)), Refusal::Signature);
    }
}
