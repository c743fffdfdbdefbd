use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::control::tls::{Files, issuer};

const BOUNDS: Bounds =
    Bounds { timeout: Duration::from_millis(300), content: 16, kept: 4, cut_refusals: false };

fn client(bounds: Bounds) -> Client {
    let (tls, _) = issuer(None, false, &mut Files::memory([])).expect("a client");
    Client::new(&tls, bounds)
}

/// A server that gives each connection these answers, one for each request, and how many connections came.
async fn server(answers: &'static [&'static str]) -> (String, tokio::sync::watch::Receiver<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let (count, counted) = tokio::sync::watch::channel(0);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.send_modify(|count| *count += 1);
            tokio::spawn(async move {
                for answer in answers {
                    let mut seen = Vec::new();
                    while !seen.windows(4).any(|end| end == b"\r\n\r\n") {
                        if stream.read_buf(&mut seen).await.unwrap_or(0) == 0 {
                            return;
                        }
                    }
                    let _ = stream.write_all(answer.as_bytes()).await;
                }
            });
        }
    });
    (url, counted)
}

async fn ask(client: &Client, url: &str) -> Result<Response<Bytes>, String> {
    client.ask(Request::get(url).body(Bytes::new()).expect("a request")).await
}

#[tokio::test]
async fn answers_are_bounded_and_failures_say_why() {
    for (answer, why) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n12345678901234567", "length limit"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n12", "end of file"),
        ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n12", "invalid"),
        ("nonsense\r\n\r\n", "invalid HTTP"),
        ("", "connection closed"),
    ] {
        let answers: &'static [&'static str] = vec![answer].leak();
        let (url, _) = server(answers).await;
        let told = ask(&client(BOUNDS), &url).await.expect_err(answer);
        assert!(told.contains(why), "{answer:?}: {told}");
    }
    let refused = ask(&client(BOUNDS), "http://127.0.0.1:1/").await.expect_err("refused");
    assert!(refused.contains("refused"), "{refused}");
}

#[tokio::test]
async fn a_head_without_end_is_given_up() {
    let long: &'static str = format!("HTTP/1.1 200 OK\r\nX: {}", "a".repeat(200_000)).leak();
    let (url, _) = server(vec![long].leak()).await;
    let told = ask(&client(BOUNDS), &url).await.expect_err("too long");
    assert!(told.contains("too large"), "{told}");
}

#[tokio::test]
async fn a_silent_service_is_waited_for_so_long() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let bounds = Bounds { timeout: Duration::from_millis(20), ..BOUNDS };
    assert_eq!(ask(&client(bounds), &url).await.expect_err("late"), "no answer within 20 ms");
}

#[tokio::test]
async fn connections_are_kept_where_that_is_asked_for_and_redirections_are_answers() {
    const MOVED: &str =
        "HTTP/1.1 307 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
    for (kept, connections) in [(4, 1), (0, 2)] {
        let (url, counted) = server(&[MOVED, MOVED]).await;
        let client = client(Bounds { kept, ..BOUNDS });
        for _ in 0..2 {
            assert_eq!(ask(&client, &url).await.expect("an answer").status(), 307);
        }
        assert_eq!(*counted.borrow(), connections);
    }
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_costs_nothing() {
    let (url, counted) = server(&["HTTP/1.1 204 No Content\r\n\r\n"]).await;
    let client = client(BOUNDS);
    for _ in 0..3 {
        assert_eq!(ask(&client, &url).await.expect("an answer").status(), 204);
    }
    assert_eq!(*counted.borrow(), 3);
}
