//! What a request pays for choosing a target, for changed and forwarding fields, and for its
//! access log record.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use tollgate::config::{Balance, Forwarding, HashKey, HeaderEdits};
use tollgate::http::{Known, RequestHead, Span};
use tollgate::policy::transform::{AddressText, Edits, Forward, Hop, Names, Scheme, Trust, Values};
use tollgate::respond::access_log::{Clock, Record, write_combined, write_json};
use tollgate::upstream::balance::{Group, Member, Picker, Tried};
use tollgate::upstream::maglev::mix;

fn picks(criterion: &mut Criterion) {
    let names: Vec<String> = (0..100).map(|n| format!("10.0.0.{n}:8080")).collect();
    let members: Vec<_> =
        names.iter().zip(1..).map(|(name, n)| Member { name, weight: 1 + n % 3 }).collect();
    let kinds = [
        ("round robin", Balance::RoundRobin),
        ("least request", Balance::LeastRequest),
        ("random", Balance::Random),
        ("maglev", Balance::Maglev(HashKey::Path)),
    ];
    for (name, balance) in kinds {
        let Ok(group) = Group::build(&members, &balance) else { continue };
        let (mut picker, mut n) = (Picker::default(), 0);
        criterion.bench_function(&format!("pick one of 100 targets, {name}"), |bencher| {
            bencher.iter(|| {
                n += 1;
                let tried = Tried::default();
                picker.pick(&group, &tried, Some(n), mix(n), |_| false, |ix| ix as u32 & 3)
            })
        });
    }
}

fn fields(criterion: &mut Criterion) {
    let all = Forwarding {
        via: true,
        x_forwarded: true,
        forwarded: true,
        request_id: true,
        traceparent: true,
    };
    let edits = HeaderEdits {
        remove: vec!["x-internal".into()],
        set: vec![("x-tier".into(), "gold".into())],
        add: vec![("x-client".into(), "{client_ip} by {route}".into())],
    };
    let Ok(edits) = Edits::compile(&edits, Names::default()) else { return };
    let forward = Forward::compile(&all, "tollgate", &edits);
    let buf = b"api.example.com";
    let host = Span::new(0, buf.len());
    let head = RequestHead { host, authority: host, ..Default::default() };
    let address = AddressText::of([192, 0, 2, 1].into());
    let hop = Hop {
        peer: &address,
        client: &address,
        trust: Trust::None,
        scheme: Scheme::Http,
        request_id: b"4bf92f3577b34da6a3ce929d0e0e4736",
        random: (1, 2),
    };
    let values = Values { client_ip: address.as_bytes(), route: b"orders", ..Values::EMPTY };
    let mut out = Vec::with_capacity(4096);
    criterion.bench_function("append all forwarding fields", |bencher| {
        bencher.iter(|| {
            out.clear();
            forward.append(black_box(&head), buf, &hop, &mut out);
        })
    });
    criterion.bench_function("append two edited fields", |bencher| {
        bencher.iter(|| {
            out.clear();
            edits.append(black_box(&values), &mut out);
        })
    });
    criterion.bench_function("ask whether a field passes", |bencher| {
        bencher.iter(|| {
            forward.replaces(black_box(Known::Other), Trust::None)
                || edits.removes_name(black_box(b"accept-encoding"))
        })
    });
}

fn records(criterion: &mut Criterion) {
    let record = Record {
        client: b"192.0.2.1",
        peer: b"192.0.2.1",
        listener: b"web",
        method: b"GET",
        host: b"api.example.com",
        path: b"/orders/42",
        query: Some(b"full=1"),
        version: tollgate::http::Version::Http11,
        status: 200,
        bytes_out: 1024,
        duration_us: 1234,
        upstream_us: Some(987),
        route: b"orders",
        upstream: b"app",
        target: b"127.0.0.1:9001",
        request_id: b"4bf92f3577b34da6a3ce929d0e0e4736",
        user_agent: b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)",
        referer: b"https://www.example.com/orders?page=2",
        ..Record::default()
    };
    let clock = Clock::at(1_767_323_045_678);
    let mut out = Vec::with_capacity(4096);
    criterion.bench_function("access log record, JSON", |bencher| {
        bencher.iter(|| {
            out.clear();
            write_json(black_box(&record), &clock, &mut out);
        })
    });
    criterion.bench_function("access log record, combined", |bencher| {
        bencher.iter(|| {
            out.clear();
            write_combined(black_box(&record), &clock, &mut out);
        })
    });
}

criterion_group!(benches, picks, fields, records);
criterion_main!(benches);
