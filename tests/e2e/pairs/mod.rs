//! Every feature of a request and its answer over all four pairs of HTTP/1.1 and HTTP/2: one test
//! each, whatever the versions.

mod ends;
mod flow;
mod messages;

use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver, Sender};

use crate::harness::{
    Broken, Caller, Driver, Ends, Gateway, Keys, Origin, PATIENCE, Response, Versions,
};

const MIB: u64 = 1 << 20;

/// Most that sockets, windows and buffers on the way may swallow before a writer is stopped.
const ON_THE_WAY: u64 = 40 * MIB;

fn start(driver: Driver, versions: Versions, origin: &Origin, keys: Keys<'_>) -> Gateway {
    Gateway::start(driver, versions.config(&[&origin.address], keys))
}

fn route(route: &str) -> Keys<'_> {
    Keys { route, ..Keys::default() }
}

fn connect(versions: Versions, gateway: &Gateway) -> Caller {
    Caller::connect(versions.down, gateway.web())
}

/// Answers with the request's content and trailers.
fn echo(versions: Versions) -> Origin {
    Origin::new(versions.up, |turn| {
        let (body, trailers) = turn.content().expect("the request's content");
        let ends =
            if turn.head.has("x-chunked") { Ends::Chunked } else { Ends::After(body.len() as u64) };
        turn.begin(200, &[], ends);
        let talk = turn.talk();
        talk.send(&body).and_then(|()| talk.end(&trailers)).expect("the gateway takes the answer");
    })
}

fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|n| (n * 31 % 251) as u8).collect()
}

fn channel<T>() -> (Mutex<Sender<T>>, Receiver<T>) {
    let (tell, told) = mpsc::channel();
    (Mutex::new(tell), told)
}

fn tell<T>(to: &Mutex<Sender<T>>, what: T) {
    to.lock().expect("one sender").send(what).expect("a listener");
}

#[track_caller]
fn told<T>(by: &Receiver<T>) -> T {
    by.recv_timeout(PATIENCE).expect("a word in time")
}

/// Nothing is in flight any more, and nothing was kept that a request had.
#[track_caller]
fn comes_to_rest(gateway: &Gateway) {
    gateway.wait_stats("nothing in flight", |s| {
        s.in_flight() == 0
            && s.route("all", "/requests_in_flight") == 0
            && s.upstream("app", "/requests_in_flight") == 0
    });
    gateway.wait_stats("no buffer is held", |s| s.number("/gateway/buffer_bytes") == 0);
}

#[track_caller]
fn expect_cut(outcome: Result<Response, Broken>) {
    match outcome {
        Err(Broken::Cut(_) | Broken::Reset) => {}
        other => panic!("not a broken answer: {other:?}"),
    }
}

fn trailers() -> Vec<(String, String)> {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    vec![pair("grpc-status", "0"), pair("x-sum", "a b"), pair("x-sum", "c")]
}

fn both_ways(client: &mut Caller, body: &[u8]) -> (Result<(), Broken>, Result<Response, Broken>) {
    let talk = client.talk();
    let upload = talk.send(body).and_then(|()| talk.end(&[]));
    (upload, client.response())
}
