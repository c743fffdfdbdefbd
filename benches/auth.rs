//! Who calls: a credential among a thousand and a million, a request's mapping rules among ten and a
//! thousand, and the whole verdict.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use tollgate::config::file::{self, CredentialKind};
use tollgate::http::{Field, Known, Span};
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
            take(digest(&SECRET, CredentialKind::UserKey, &[key(n).as_bytes()]), credential);
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
                let digest = digest(&SECRET, CredentialKind::UserKey, &[key]);
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
            b.iter(|| mapping.hits(b"GET", black_box(path.as_bytes()), None));
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
    };
    c.bench_function("verdict", |b| {
        b.iter(|| admit(&directory, 0, &product, black_box(&asked)).is_ok());
    });
}

criterion_group!(benches, lookup, mapping, verdict);
criterion_main!(benches);
