//! gRPC-Web, told as gRPC and back: binary and text, over HTTP/1.1 and HTTP/2.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::harness::grpc::{GrpcClient, GrpcServer, framed, frames};
use crate::harness::{Client, Driver, Gate, Gateway, Response};

both_drivers!(
    a_binary_call_is_told_as_grpc,
    a_call_in_text_is_told_as_grpc,
    text_may_come_in_any_pieces,
    an_answer_is_text_where_that_is_asked_for,
    messages_go_out_as_they_come,
    a_large_message_passes_in_text,
    a_call_over_http_2_is_told_too,
    a_servers_refusal_is_a_head,
    errors_are_told_in_the_head,
    bad_base64,
    a_deadline_is_told_in_the_head,
    an_answer_that_is_cut_does_not_look_whole,
    answers_that_are_not_grpc_pass_as_they_are,
    calls_follow_one_another_on_a_connection,
    without_the_key_a_call_passes_as_it_is,
    a_browsers_question_is_for_a_route_of_its_own,
);

const WEB: &str = "application/grpc-web+proto";
const TEXT: &str = "application/grpc-web-text+proto";

fn start(driver: Driver, server: &GrpcServer) -> Gateway {
    Gateway::start(driver, server.behind("grpc_web = true"))
}

/// A call over HTTP/1.1.
fn post(content_type: &str, fields: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST /a.B/Get HTTP/1.1\r\nHost: a\r\nContent-Type: {content_type}\r\n{fields}\
         Content-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn ask(client: &mut Client, content_type: &str, body: &[u8]) -> Response {
    client.send(post(content_type, "", body));
    client.response().expect(200)
}

/// Texts behind one another.
fn decoded(text: &[u8]) -> Vec<u8> {
    assert!(text.len().is_multiple_of(4), "{}", text.escape_ascii());
    text.chunks(4).flat_map(|group| STANDARD.decode(group).expect("base64")).collect()
}

/// The messages and the trailers.
#[track_caller]
fn told(mut body: Vec<u8>) -> (Vec<Vec<u8>>, String) {
    let mut frames = frames(&mut body);
    assert!(body.is_empty(), "bytes behind the last frame");
    let (flags, trailers) = frames.pop().expect("a frame");
    assert_eq!(flags, 0x80, "the last frame holds the trailers");
    assert!(frames.iter().all(|(flags, _)| *flags == 0));
    let messages = frames.into_iter().map(|(_, message)| message).collect();
    (messages, String::from_utf8(trailers).expect("text"))
}

const TRAILERS: &str = "grpc-status: 0\r\ngrpc-message: \r\nx-trailing-bin: AAEC\r\n";

fn a_binary_call_is_told_as_grpc(driver: Driver) {
    let server = GrpcServer::echo();
    let gateway = start(driver, &server);
    let response = ask(&mut gateway.connect(), WEB, &framed(b"hello"));
    assert_eq!(response.value("content-type"), Some(WEB));
    assert_eq!(response.value("x-initial"), Some("early"));
    assert_eq!(response.value("grpc-status"), None);
    assert_eq!(told(response.body), (vec![b"hello".to_vec()], TRAILERS.to_owned()));
    let head = server.only_head();
    assert_eq!(head.headers["content-type"], "application/grpc+proto");
    assert_eq!(head.headers["te"], "trailers");
    assert_eq!(head.method, "POST");
}

fn a_call_in_text_is_told_as_grpc(driver: Driver) {
    let server = GrpcServer::echo();
    let gateway = start(driver, &server);
    let text = STANDARD.encode(framed(b"hello"));
    let response = ask(&mut gateway.connect(), TEXT, text.as_bytes());
    assert_eq!(response.value("content-type"), Some(TEXT));
    assert_eq!(told(decoded(&response.body)), (vec![b"hello".to_vec()], TRAILERS.to_owned()));
    let head = server.only_head();
    assert_eq!(head.headers["content-type"], "application/grpc+proto");
    assert!(!head.headers.contains_key("content-length"), "that was the text's");
}

fn text_may_come_in_any_pieces(driver: Driver) {
    let server = GrpcServer::new(|call| {
        while let Some(message) = call.next().expect("no reset") {
            call.send(&message);
        }
        call.finish(0, "");
    });
    let gateway = start(driver, &server);
    let messages = [&b"a"[..], b"bc", b"def", b""];
    let text: String = messages.iter().map(|m| STANDARD.encode(framed(m))).collect();
    for step in [1, 3, 7] {
        let mut client = gateway.connect();
        client.send(format!(
            "POST /a.B/All HTTP/1.1\r\nHost: a\r\nContent-Type: {TEXT}\r\n\
             Transfer-Encoding: chunked\r\n\r\n"
        ));
        for piece in text.as_bytes().chunks(step) {
            client.send(format!("{:x}\r\n", piece.len()));
            client.send(piece);
            client.send("\r\n");
        }
        client.send("0\r\n\r\n");
        let (all, trailers) = told(decoded(&client.response().expect(200).body));
        assert_eq!(all, messages);
        assert_eq!(trailers, TRAILERS);
    }
}

fn an_answer_is_text_where_that_is_asked_for(driver: Driver) {
    let server = GrpcServer::echo();
    let gateway = start(driver, &server);
    let mut client = gateway.connect();
    client.send(post(WEB, "Accept: application/grpc-web-text\r\n", &framed(b"hello")));
    let response = client.response().expect(200);
    assert_eq!(response.value("content-type"), Some(TEXT));
    assert_eq!(told(decoded(&response.body)).0, [b"hello"]);
}

fn messages_go_out_as_they_come(driver: Driver) {
    let gate = Gate::new();
    let held = gate.clone();
    let server = GrpcServer::new(move |call| {
        for n in 0..3 {
            call.send(format!("{n}").as_bytes());
            held.wait();
        }
        call.finish(0, "");
    });
    let gateway = start(driver, &server);
    let mut client = gateway.connect();
    client.send(post(TEXT, "", STANDARD.encode(framed(b"")).as_bytes()));
    client.head().expect("a head");
    for n in 0..3 {
        let chunk = client.chunk().expect("a message, though more is to come");
        assert_eq!(decoded(&chunk), framed(format!("{n}").as_bytes()));
        gate.release();
    }
    let end = client.chunk().expect("the trailers");
    assert_eq!(told(decoded(&end)), (vec![], TRAILERS.to_owned()));
    assert_eq!(client.chunk(), None);
}

fn a_large_message_passes_in_text(driver: Driver) {
    let server = GrpcServer::echo();
    let gateway = start(driver, &server);
    let message: Vec<u8> = (0..1 << 20).map(|n: u32| (n % 253) as u8).collect();
    let text = STANDARD.encode(framed(&message));
    let response = ask(&mut gateway.connect(), TEXT, text.as_bytes());
    assert!(told(decoded(&response.body)).0 == [message], "as it was sent");
}

fn a_call_over_http_2_is_told_too(driver: Driver) {
    let server = GrpcServer::echo();
    let gateway = start(driver, &server);
    let client = GrpcClient::connect(gateway.web());
    let mut call = client.call("/a.B/Get", &[("content-type", WEB)]);
    call.send(b"hello");
    call.end();
    let outcome = call.outcome();
    assert_eq!(outcome.head.headers["content-type"], WEB);
    assert_eq!(outcome.messages, [&b"hello"[..], TRAILERS.as_bytes()]);
    assert!(outcome.trailers.is_empty(), "{:?}", outcome.trailers);
    let mut call = client.call("/a.B/Get", &[("content-type", TEXT)]);
    call.send_raw(STANDARD.encode(framed(b"hello")).into_bytes());
    call.end();
    assert_eq!(told(decoded(&call.bytes())).0, [b"hello"]);
}

fn a_servers_refusal_is_a_head(driver: Driver) {
    let server = GrpcServer::new(|call| call.refuse(5, "no such order"));
    let gateway = start(driver, &server);
    let response = ask(&mut gateway.connect(), WEB, &framed(b""));
    assert_eq!(response.value("grpc-status"), Some("5"));
    assert_eq!(response.value("grpc-message"), Some("no such order"));
    assert_eq!(response.value("content-type"), Some("application/grpc-web"));
    assert!(response.body.is_empty());
}

fn errors_are_told_in_the_head(driver: Driver) {
    let server = GrpcServer::echo();
    let nobody = server.behind("grpc_web = true").replace(&server.address, "127.0.0.1:1");
    let gateway = Gateway::start(driver, nobody);
    let mut client = gateway.connect();
    for (asked, answered) in [(WEB, WEB), (TEXT, TEXT), ("application/grpc-web", WEB)] {
        let response = ask(&mut client, asked, b"AAAAAAA=");
        assert_eq!(response.value("grpc-status"), Some("14"));
        assert_eq!(response.value("content-type"), Some(answered));
        assert_eq!(response.value("content-length"), Some("0"));
    }
}

fn bad_base64(driver: Driver) {
    let server = GrpcServer::new(|call| while let Ok(Some(_)) = call.next() {});
    let gateway = start(driver, &server);
    for text in ["AAAA!AAA", "AAAAA", "A===AAAA"] {
        let response = ask(&mut gateway.connect(), TEXT, text.as_bytes());
        assert_eq!(response.value("grpc-status"), Some("13"), "{text}");
        assert_eq!(response.value("grpc-message"), Some("malformed base64"));
    }
}

fn a_deadline_is_told_in_the_head(driver: Driver) {
    let server = GrpcServer::new(|call| {
        let _ = call.wait_reset();
    });
    let gateway = start(driver, &server);
    let mut client = gateway.connect();
    client.send(post(WEB, "grpc-timeout: 100m\r\n", &framed(b"")));
    assert_eq!(client.response().expect(200).value("grpc-status"), Some("4"));
}

fn an_answer_that_is_cut_does_not_look_whole(driver: Driver) {
    let gate = Gate::new();
    let held = gate.clone();
    let server = GrpcServer::new(move |call| {
        call.send(b"first");
        held.wait();
        call.reset();
    });
    let gateway = start(driver, &server);
    let mut client = gateway.connect();
    client.send(post(WEB, "", &framed(b"")));
    client.head().expect("a head");
    assert_eq!(client.chunk(), Some(framed(b"first")));
    gate.release();
    assert!(client.rest().is_err(), "a reset, and no trailers");
}

fn answers_that_are_not_grpc_pass_as_they_are(driver: Driver) {
    let server = GrpcServer::new(|call| call.say(503, "text/html", "<h1>Away</h1>"));
    let gateway = start(driver, &server);
    let mut client = gateway.connect();
    client.send(post(TEXT, "", b"AAAAAAA="));
    let response = client.response().expect(503);
    assert_eq!(response.value("content-type"), Some("text/html"));
    assert_eq!(response.text(), "<h1>Away</h1>");
}

fn calls_follow_one_another_on_a_connection(driver: Driver) {
    let server = GrpcServer::echo();
    let gateway = start(driver, &server);
    let mut client = gateway.connect();
    for n in 0..20 {
        let message = format!("message {n}").into_bytes();
        let response = match n % 2 {
            0 => told(ask(&mut client, WEB, &framed(&message)).body),
            _ => {
                let text = STANDARD.encode(framed(&message));
                told(decoded(&ask(&mut client, TEXT, text.as_bytes()).body))
            }
        };
        assert_eq!(response.0, [message]);
    }
    assert_eq!(server.connections(), 1);
}

fn without_the_key_a_call_passes_as_it_is(driver: Driver) {
    let server = GrpcServer::echo();
    let gateway = Gateway::start(driver, server.behind(""));
    let response = ask(&mut gateway.connect(), WEB, &framed(b"hello"));
    assert_eq!(response.body, framed(b"hello"));
    assert_eq!(response.value("content-type"), Some("application/grpc+proto"));
    assert_eq!(server.only_head().headers["content-type"], WEB);
}

fn a_browsers_question_is_for_a_route_of_its_own(driver: Driver) {
    let server = GrpcServer::echo();
    let allow = "set = { access-control-allow-origin = \"https://shop.example\", \
                 access-control-expose-headers = \"grpc-status, grpc-message\" }";
    let text = server.behind(&format!(
        "methods = [\"POST\"]\ngrpc_web = true\nresponse_headers = {{ {allow} }}\n\
         [[routes]]\nname = \"preflight\"\npath = \"/*\"\nmethods = [\"OPTIONS\"]\n\
         respond = {{ status = 204 }}\nresponse_headers = {{ {allow}, add = {{ \
         access-control-allow-headers = \"content-type, x-grpc-web, x-user-agent, grpc-timeout\" \
         }} }}"
    ));
    let gateway = Gateway::start(driver, text);
    let mut client = gateway.connect();
    let question = "OPTIONS /a.B/Get HTTP/1.1\r\nHost: a\r\nOrigin: https://shop.example\r\n\
                    Access-Control-Request-Method: POST\r\n\r\n";
    let answer = client.ask(question).expect(204);
    assert_eq!(answer.value("access-control-allow-origin"), Some("https://shop.example"));
    let answer = ask(&mut client, WEB, &framed(b"hello"));
    assert_eq!(answer.value("access-control-allow-origin"), Some("https://shop.example"));
    assert_eq!(told(answer.body).0, [b"hello"]);
}
