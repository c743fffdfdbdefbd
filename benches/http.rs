//! HTTP/1.1: heads parsed and written, chunked content taken apart. HTTP/2: field blocks that became heads,
//! and heads that become field blocks.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use tollgate::config::{EncodedSlash, HttpBounds};
use tollgate::http::h1::{Asked, BodyReader, Scan, encode, parse_request, parse_response};
use tollgate::http::h2::heads;
use tollgate::http::h2::hpack::{Decoder, Encoder, TABLE_SIZE};
use tollgate::http::{Framing, Method, RequestHead, ResponseHead};

const BOUNDS: HttpBounds = HttpBounds {
    max_head: 32 * 1024,
    max_fields: 100,
    max_uri: 8 * 1024,
    max_chunk_extension: 256,
    encoded_slash: EncodedSlash::Keep,
    underscores_in_headers: true,
};

const CURL: &[u8] = b"GET /orders/1234 HTTP/1.1\r\n\
Host: api.example.com\r\n\
User-Agent: curl/8.5.0\r\n\
Accept: */*\r\n\
X-Tier: gold\r\n\r\n";

const BROWSER: &[u8] = b"GET /articles/2026/11/how-proxies-parse?page=2 HTTP/1.1\r\n\
Host: www.example.com\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0\r\n\
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
Accept-Language: en-GB,en;q=0.7,de;q=0.3\r\n\
Accept-Encoding: gzip, deflate, br, zstd\r\n\
Referer: https://www.example.com/articles/2026/11/\r\n\
Connection: keep-alive\r\n\
Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=all\r\n\
Sec-Fetch-Dest: document\r\n\
Sec-Fetch-Mode: navigate\r\n\r\n";

const ENCODED: &[u8] = b"GET /a%20b/./c/%7Euser/../d%2Fe.html HTTP/1.1\r\n\
Host: API.example.com\r\n\r\n";

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\n\
Server: nginx\r\n\
Date: Sun, 22 Nov 2026 13:00:00 GMT\r\n\
Content-Type: application/json\r\n\
Content-Length: 1024\r\n\
ETag: \"5f3c-1a2b3c4d\"\r\n\
Cache-Control: max-age=60\r\n\r\n";

/// A request whose strings are all in Huffman's code, and none of them is remembered.
const CODED: &[u8] =
    b"\x82\x87\x04\x9e\x60\x76\x24\xc4\xa0\xa8\x60\x40\x13\x8c\x04\x2c\x4e\x7f\x0b\x57\x61\xfc\
    \x98\xa8\x5a\xb1\xd8\x82\xff\x95\x8e\x62\xc0\x2f\x01\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\
    \xab\x90\xf4\xff\x0f\x2b\xa3\x25\xb6\x50\xc3\xcb\xb6\xb8\x14\xfe\xbc\xbc\xe4\x4e\x34\xb5\
    \x64\x5a\x83\x55\x6f\x95\xa6\xaa\xdf\xed\x4a\x0d\x19\x2d\xb2\x86\x1e\x5d\xb5\xc1\x0f\x04\
    \x83\xf9\x63\xe7\x00\x85\xf2\xb2\x4c\x5b\x3f\x83\x98\xf4\x49";

fn parse(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse");
    for (name, text) in [("curl_4", CURL), ("browser_10", BROWSER), ("encoded_path", ENCODED)] {
        let (mut buf, mut head) = (text.to_vec(), RequestHead::default());
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                // A path in canonical form would be cheaper the second time.
                if name == "encoded_path" {
                    buf.copy_from_slice(text);
                }
                parse_request(black_box(&mut buf), &mut Scan::default(), &BOUNDS, &mut head)
            })
        });
    }
    let (mut buf, mut head) = (RESPONSE.to_vec(), ResponseHead::default());
    group.throughput(Throughput::Bytes(RESPONSE.len() as u64));
    group.bench_function("response_6", |b| {
        b.iter(|| {
            let scan = &mut Scan::default();
            parse_response(black_box(&mut buf), scan, 32 * 1024, Method::Get, &mut head)
        })
    });
    group.finish();
}

/// A head that comes byte by byte: the time a byte must not depend on how many came before.
fn trickle(c: &mut Criterion) {
    let mut group = c.benchmark_group("trickle");
    for fields in [10, 80] {
        let line = "X-Some-Field: with a value of some length\r\n";
        let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", line.repeat(fields));
        let (mut buf, mut head) = (text.into_bytes(), RequestHead::default());
        group.throughput(Throughput::Bytes(buf.len() as u64));
        group.bench_function(format!("fields_{fields}"), |b| {
            b.iter(|| {
                let mut scan = Scan::default();
                for len in 1..=buf.len() {
                    let _ = parse_request(&mut buf[..len], &mut scan, &BOUNDS, &mut head);
                }
            })
        });
    }
    group.finish();
}

fn write(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode");
    let (mut buf, mut head) = (BROWSER.to_vec(), RequestHead::default());
    let parsed = parse_request(&mut buf, &mut Scan::default(), &BOUNDS, &mut head);
    assert_eq!(parsed, Ok(true));
    let mut out = Vec::with_capacity(4096);
    group.bench_function("browser_10", |b| {
        b.iter(|| {
            out.clear();
            let query = head.query.map(|q| q.of(&buf));
            encode::request_line(&mut out, head.method_span.of(&buf), head.path.of(&buf), query);
            for field in head.fields.iter().filter(|f| !f.hop) {
                encode::field(&mut out, field.name.of(&buf), field.value.of(&buf));
            }
            out.extend_from_slice(encode::END);
            black_box(out.len())
        })
    });
    group.finish();
}

fn content(c: &mut Criterion) {
    let mut group = c.benchmark_group("chunked");
    for (name, size, count) in [("8_of_2KiB", 2048, 8), ("256_of_64B", 64, 256)] {
        let mut text = Vec::new();
        for _ in 0..count {
            let mut room = [0; encode::CHUNK_PREFIX_MAX];
            let written = encode::chunk_prefix(&mut room, size);
            text.extend_from_slice(&room[room.len() - written..]);
            text.resize(text.len() + size, b'x');
            text.extend_from_slice(encode::END);
        }
        encode::last_chunk(&mut text, &[], &[]);
        group.throughput(Throughput::Bytes((size * count) as u64));
        group.bench_function(name, |b| {
            b.iter_batched_ref(
                || text.clone(),
                |buf| BodyReader::new(Framing::Chunked, 256).decode(buf),
                BatchSize::SmallInput,
            )
        });
    }
    group.finish();
}

/// Blocks of the third request on a connection, and of its answer, when most fields are known; and of a
/// client's first, in Huffman's code.
fn blocks(c: &mut Criterion) {
    let mut group = c.benchmark_group("h2");
    let (mut encoder, mut decoder, mut out) =
        (Encoder::new(), Decoder::new(TABLE_SIZE), Vec::new());
    let (mut buf, mut head) = (Vec::new(), RequestHead::default());
    let mut read = |decoder: &mut Decoder, block: &[u8]| {
        buf.clear();
        heads::decode::request(decoder, block, true, [0; 16], &BOUNDS, &mut buf, &mut head)
    };
    let mut write = |out: &mut Vec<u8>| {
        out.clear();
        heads::encode::request(BROWSER, true, None, &mut encoder, out)
    };
    for _ in 0..3 {
        assert_eq!(write(&mut out), Ok(()));
        assert_eq!(read(&mut decoder, &out), Ok(()));
    }
    group.bench_function("decode_request", |b| b.iter(|| read(&mut decoder, black_box(&out))));
    group.bench_function("decode_request_coded", |b| {
        b.iter(|| read(&mut decoder, black_box(CODED)))
    });
    group.bench_function("encode_request", |b| b.iter(|| write(black_box(&mut out))));

    let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(TABLE_SIZE));
    let (mut lines, mut head) = (Vec::new(), ResponseHead::default());
    let mut read = |block: &[u8]| {
        lines.clear();
        let arrived = heads::decode::answer(&mut decoder, block, BOUNDS.max_head, &mut lines);
        let to = Asked::from(Method::Get);
        arrived.map(|_| {
            heads::decode::response(false, BOUNDS.max_head, to, None, &mut lines, &mut head)
        })
    };
    let mut write = |out: &mut Vec<u8>| {
        out.clear();
        heads::encode::response(RESPONSE, &mut encoder, out)
    };
    for _ in 0..3 {
        assert_eq!(write(&mut out), Ok(()));
        assert_eq!(read(&out), Ok(Ok(())));
    }
    group.bench_function("decode_answer", |b| b.iter(|| read(black_box(&out))));
    group.bench_function("encode_answer", |b| b.iter(|| write(black_box(&mut out))));
    group.finish();
}

criterion_group!(benches, parse, trickle, write, content, blocks);
criterion_main!(benches);
