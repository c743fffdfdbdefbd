//! Who calls: a credential among a thousand and a million, a request's mapping rules among ten and a
//! thousand, the whole verdict, and tokens: their signatures, all of their verification, and remembered.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::error::KeyRejected;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair,
    Ed25519KeyPair, KeyPair, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256,
    RsaKeyPair, RsaPublicKeyComponents,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::json;
use tollgate::config::file::{self, CredentialKind};
use tollgate::config::{Dpop, Jwt, JwtAlgorithm, JwtKeys, TokenRules};
use tollgate::http::{Field, Known, Span};
use tollgate::policy::auth::jwt::{Cache, Key, KeySet, Verifier};
use tollgate::policy::auth::mapping::{Mapping, Rule};
use tollgate::policy::auth::{
    Application, Asked, Carrier, Credential, Definition, Directory, Product, admit, digest,
};

const SECRET: [u8; 32] = [7; 32];

fn key(n: u32) -> String {
    format!("tg_{n:0>40}")
}

fn directory(credentials: u32) -> Directory {
    let mut directory = Directory::empty(SECRET);
    let filled: Result<(), std::convert::Infallible> = directory.fill(|take| {
        for n in 0..credentials {
            let application = Arc::new(Application {
                id: u64::from(n),
                account: 1,
                product: 0,
                plan: 1,
                app_id: format!("{n:016x}").into(),
                suspended: false,
                ends_at: u64::MAX,
                lines: Box::default(),
            });
            let credential =
                Credential { id: u64::from(n), application, ends_at: u64::MAX, password: None };
            take(digest(&SECRET, (1, CredentialKind::UserKey), &[key(n).as_bytes()]), credential);
        }
        Ok(())
    });
    let Ok(()) = filled;
    directory
}

fn lookup(c: &mut Criterion) {
    let mut group = c.benchmark_group("credential");
    for (name, count) in [("1k", 1_000), ("1M", 1_000_000)] {
        let directory = directory(count);
        let keys: Vec<String> = (0..4096).map(|n| key(n * 7919 % count)).collect();
        let mut next = keys.iter().cycle();
        group.bench_function(name, |b| {
            b.iter(|| {
                let key = next.next().expect("a cycle").as_bytes();
                let digest = digest(&SECRET, (1, CredentialKind::UserKey), &[key]);
                black_box(directory.credential(&digest)).is_some()
            });
        });
    }
}

fn mapping(c: &mut Criterion) {
    let mut group = c.benchmark_group("mapping");
    for count in [10, 1_000] {
        let patterns: Vec<String> = (0..count)
            .map(|n| match n % 4 {
                0 => format!("/v1/things{n}$"),
                1 => format!("/v1/things{}/{{id}}$", n - 1),
                2 => format!("/v1/things{}/{{id}}/parts", n - 2),
                _ => format!("/{{tenant}}/things{}", n - 3),
            })
            .collect();
        let rules: Vec<Rule<'_>> = patterns
            .iter()
            .map(|pattern| Rule { method: "GET", pattern, metric: 0, amount: 1, last: false })
            .collect();
        let mapping = Mapping::compile(&rules, Box::new([None])).expect("patterns");
        let path = format!("/v1/things{}/4711/parts/9", count / 8 * 4);
        group.bench_function(count.to_string(), |b| {
            b.iter(|| mapping.hits(b"GET", black_box(path.as_bytes()), &[]));
        });
    }
}

fn verdict(c: &mut Criterion) {
    let directory = directory(1_000_000);
    let words = "mapping_rules = [{ method = \"GET\", pattern = \"/orders\", metric = \"list\" }]\n\
                 methods = [{ name = \"list\" }]\n[plans.gold]\nlimits = [{ rate = \"1000/s\" }]";
    let product: file::Product = toml::from_str(words).expect("a product");
    let product = Product::compile(&Definition {
        id: 1,
        name: "shop",
        product: &product,
        metrics: &BTreeMap::from([("hits".to_owned(), 1), ("list".to_owned(), 2)]),
        plans: &BTreeMap::from([("gold".to_owned(), 1)]),
        secret: "secret",
    })
    .expect("no mistakes");
    let buf = format!("X-API-Key{}", key(4711));
    let (name, value) = (Span::new(0, 9), Span::new(9, buf.len()));
    let fields = [Field { name, value, known: Known::Other, hop: false }];
    let asked = Asked {
        method: b"GET",
        path: b"/orders/4711",
        carrier: Carrier { fields: &fields, buf: buf.as_bytes(), query: None },
        identity: None,
        tokens: &[],
        passwords: &|_| None,
        now_s: 1,
        form: &[],
    };
    c.bench_function("verdict", |b| {
        b.iter(|| admit(&directory, 0, &product, black_box(&asked)).is_ok());
    });
}

/// A token as issuers make them, by a key of each kind: what the check of its signature costs alone, what
/// all of it, and what it costs once it is remembered.
fn tokens(c: &mut Criterion) {
    let claims = json!({
        "iss": "https://id.example", "aud": ["orders", "https://api.example"], "sub": "user-4711",
        "exp": 2_000_000_000, "iat": 1_800_000_000, "client_id": "shop", "scope": "orders orders:write",
        "realm_access": { "roles": ["user", "support", "admin"] },
    });
    let mut group = c.benchmark_group("jwt");
    for Signer { algorithm, keys, sign, check } in signers() {
        let name = algorithm.name();
        let header = json!({ "alg": name, "typ": "at+jwt", "kid": "k" });
        let signed = format!("{}.{}", coded(header.to_string()), coded(claims.to_string()));
        let signature = sign(signed.as_bytes());
        let token = format!("{signed}.{}", coded(&signature));
        let verifier = verifier(algorithm, keys);
        let verified = Rc::new(verifier.verify(token.as_bytes(), NOW).expect("a good token"));
        assert!(check(signed.as_bytes(), &signature));
        group.bench_function(format!("signature {name}"), |b| {
            b.iter(|| check(black_box(signed.as_bytes()), &signature));
        });
        group.bench_function(format!("verified {name}"), |b| {
            b.iter(|| verifier.verify(black_box(token.as_bytes()), NOW).is_ok());
        });
        if algorithm == JwtAlgorithm::Es256 {
            let mut cache = Cache::default();
            cache.keep((0, &verifier), *blake3::hash(token.as_bytes()).as_bytes(), &verified);
            group.bench_function("cached", |b| {
                b.iter(|| {
                    let digest = *blake3::hash(black_box(token.as_bytes())).as_bytes();
                    cache.token((0, &verifier), &digest, NOW).is_some()
                });
            });
        }
    }
}

const NOW: u64 = 1_900_000_000;

type Sign = dyn Fn(&[u8]) -> Vec<u8>;
type Check = dyn Fn(&[u8], &[u8]) -> bool;

/// Who signs by an algorithm, and how its signatures are checked: by Tollgate's keys, and by the
/// library alone.
struct Signer {
    algorithm: JwtAlgorithm,
    keys: KeySet,
    sign: Box<Sign>,
    check: Box<Check>,
}

/// The algorithms that issuers use most.
fn signers() -> [Signer; 4] {
    let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
    let (x, y) = ec.public_key().as_ref()[1..].split_at(32);
    let ec_jwk = json!({ "kty": "EC", "crv": "P-256", "kid": "k", "x": coded(x), "y": coded(y) });
    let ec_public = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, ec.public_key().as_ref());
    let ed = Ed25519KeyPair::generate().expect("a key");
    let ed_jwk = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "k", "x": coded(ed.public_key()) });
    let ed_public = ParsedPublicKey::new(&ED25519, ed.public_key().as_ref());
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
    let n = rsa.public_key().modulus().big_endian_without_leading_zero();
    let e = rsa.public_key().exponent().big_endian_without_leading_zero();
    let rsa_jwk = json!({ "kty": "RSA", "kid": "k", "n": coded(n), "e": coded(e) });
    let rsa_public =
        RsaPublicKeyComponents { n, e }.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256);
    let by_ec =
        move |text: &[u8]| ec.sign(&SystemRandom::new(), text).expect("signed").as_ref().to_vec();
    let by_rsa = move |text: &[u8]| {
        let mut signature = vec![0; rsa.public_modulus_len()];
        rsa.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text, &mut signature).expect("signed");
        signature
    };
    let by_ed = move |text: &[u8]| ed.sign(text).as_ref().to_vec();
    let public = |algorithm, jwk, sign: Box<Sign>, key: Result<ParsedPublicKey, KeyRejected>| {
        let keys = json!({ "keys": [jwk] }).to_string();
        let keys = KeySet::read(keys.as_bytes(), &[algorithm]).expect("keys");
        let key = key.expect("a key");
        let check = move |text: &[u8], signature: &[u8]| key.verify_sig(text, signature).is_ok();
        Signer { algorithm, keys, sign, check: Box::new(check) }
    };
    [
        public(JwtAlgorithm::Es256, ec_jwk, Box::new(by_ec), ec_public),
        public(JwtAlgorithm::Rs256, rsa_jwk, Box::new(by_rsa), rsa_public),
        public(JwtAlgorithm::EdDsa, ed_jwk, Box::new(by_ed), ed_public),
        by_secret(),
    ]
}

fn by_secret() -> Signer {
    let key = Key::secret(&SECRET, &[JwtAlgorithm::Hs256]).expect("long enough");
    let [signs, checks] = [hmac::HMAC_SHA256; 2].map(|hash| hmac::Key::new(hash, &SECRET));
    Signer {
        algorithm: JwtAlgorithm::Hs256,
        keys: KeySet::of_secret(key),
        sign: Box::new(move |text| hmac::sign(&signs, text).as_ref().to_vec()),
        check: Box::new(move |text, signature| hmac::verify(&checks, text, signature).is_ok()),
    }
}

fn coded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn verifier(algorithm: JwtAlgorithm, keys: KeySet) -> Verifier {
    let rules = Jwt {
        keys: match algorithm {
            JwtAlgorithm::Hs256 => JwtKeys::Secret(SECRET.to_vec()),
            _ => JwtKeys::File("keys.json".into()),
        },
        says: TokenRules {
            issuers: vec!["https://id.example".into()],
            audiences: vec!["orders".into()],
            scopes: vec!["orders".into()],
            ..TokenRules::default()
        },
        algorithms: vec![algorithm],
        leeway: Duration::from_secs(60),
        token_type: None,
        dpop: Dpop::Off,
        cache: 1 << 20,
    };
    let (rules, keys) = (Arc::new(rules), Arc::new(keys));
    Verifier { name: "main".into(), rules, keys, epoch: 1, asking: None }
}

criterion_group!(benches, lookup, mapping, verdict, tokens);
criterion_main!(benches);
