//! A route's timeouts and its body limit.

use crate::harness::{Broken, Driver, Gateway, Hanging, Upstream, ok};

fn route(driver: Driver, target: &str, keys: &str) -> Gateway {
    Gateway::start(
        driver,
        format!(
            "[upstreams.app]\ntargets = [\"{target}\"]\nretries = 0\n\n\
             [[routes]]\nname = \"it\"\npath = \"/*\"\nupstream = \"app\"\n{keys}\n"
        ),
    )
}

/// An upstream that sends this after a request, then nothing more.
fn stalling(sent: &'static str) -> Upstream {
    Upstream::new(move |peer| {
        peer.request();
        peer.send(sent);
        peer.wait_closed();
    })
}

/// The response stops coming after its head: the client must not take it for whole.
#[track_caller]
fn cut_off(gateway: &Gateway) {
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    match client.try_response() {
        Err(Broken::Cut(_) | Broken::Reset) => {}
        other => panic!("{other:?}"),
    }
}

both_drivers!(
    connecting_takes_too_long,
    connecting_takes_longer_than_the_upstream_allows,
    the_first_byte_takes_too_long,
    the_head_never_ends,
    the_first_byte_after_an_upload_takes_too_long,
    a_response_body_stalls,
    a_chunked_response_stalls,
    a_close_delimited_response_stalls,
    the_whole_takes_too_long,
    the_whole_takes_too_long_though_bytes_keep_coming,
    an_upstream_that_does_not_read_the_body_is_given_up,
    a_body_over_its_limit_is_refused_by_its_length,
    a_body_over_its_limit_is_refused_instead_of_continued,
    a_chunked_body_over_its_limit_is_cut_off,
    a_body_of_just_the_limit_passes,
    timeouts_of_one_route_do_not_touch_another,
    the_whole_is_over_before_connecting_is,
);

fn connecting_takes_too_long(driver: Driver) {
    let target = Hanging::new();
    let gateway = route(driver, &target.address, "timeouts = { connect = \"200ms\" }");
    let response = gateway.get("/").expect_failure(504);
    let told = response.value("proxy-status").expect("Proxy-Status").to_owned();
    assert!(told.contains("connection_timeout"), "{told}");
}

fn connecting_takes_longer_than_the_upstream_allows(driver: Driver) {
    let target = Hanging::new();
    let gateway = Gateway::start(
        driver,
        format!(
            "[upstreams.app]\ntargets = [\"{}\"]\nretries = 0\nconnect_timeout = \"200ms\"\n\n\
         [[routes]]\nname = \"it\"\npath = \"/*\"\nupstream = \"app\"\n",
            target.address
        ),
    );
    gateway.get("/").expect_failure(504);
}

fn the_first_byte_takes_too_long(driver: Driver) {
    let upstream = stalling("");
    let gateway = route(driver, &upstream.address, "timeouts = { first_byte = \"200ms\" }");
    let mut client = gateway.connect();
    client.get("/").expect_failure(504);
    upstream.wait_for_ends(1);
    client.get("/").expect_failure(504);
}

fn the_head_never_ends(driver: Driver) {
    let upstream = stalling("HTTP/1.1 200 OK\r\nX-A");
    let gateway = route(
        driver,
        &upstream.address,
        "timeouts = { first_byte = \"200ms\", idle = \"200ms\", total = \"2s\" }",
    );
    gateway.get("/").expect_failure(504);
    upstream.wait_for_ends(1);
}

fn the_first_byte_after_an_upload_takes_too_long(driver: Driver) {
    let upstream = stalling("");
    let gateway = route(driver, &upstream.address, "timeouts = { first_byte = \"200ms\" }");
    let mut client = gateway.connect();
    let size = 1_000_000;
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n"));
    client.send(vec![b'x'; size]);
    client.response().expect_failure(504);
}

fn a_response_body_stalls(driver: Driver) {
    let upstream = stalling("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello");
    let gateway = route(driver, &upstream.address, "timeouts = { idle = \"200ms\" }");
    cut_off(&gateway);
    upstream.wait_for_ends(1);
}

fn a_chunked_response_stalls(driver: Driver) {
    let upstream = stalling("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    let gateway = route(driver, &upstream.address, "timeouts = { idle = \"200ms\" }");
    cut_off(&gateway);
    upstream.wait_for_ends(1);
}

fn a_close_delimited_response_stalls(driver: Driver) {
    let upstream = stalling("HTTP/1.1 200 OK\r\n\r\nhello");
    let gateway = route(driver, &upstream.address, "timeouts = { idle = \"200ms\" }");
    cut_off(&gateway);
}

fn the_whole_takes_too_long(driver: Driver) {
    let upstream = stalling("");
    let gateway = route(driver, &upstream.address, "timeouts = { total = \"200ms\" }");
    gateway.get("/").expect_failure(504);
    upstream.wait_for_ends(1);
}

fn the_whole_takes_too_long_though_bytes_keep_coming(driver: Driver) {
    let upstream = Upstream::new(|peer| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        // The gateway's end of the connection ends this.
        while peer.try_send("1\r\nx\r\n").is_ok() {}
    });
    let gateway = route(driver, &upstream.address, "timeouts = { total = \"500ms\" }");
    cut_off(&gateway);
}

fn an_upstream_that_does_not_read_the_body_is_given_up(driver: Driver) {
    let upstream = Upstream::new(|peer| {
        peer.head();
        peer.wait_stopped();
    });
    let gateway = route(driver, &upstream.address, "timeouts = { idle = \"300ms\" }");
    let mut client = gateway.connect();
    let size: u64 = 256 << 20;
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n"));
    client.send_until_stopped(&[b'x'; 65536], size);
    client.response().expect_failure(504);
}

fn a_body_over_its_limit_is_refused_by_its_length(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let gateway = route(driver, &upstream.address, "max_body = \"1KiB\"");
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1025\r\n\r\n");
    client.response().expect_failure(413);
    client.expect_closed();
    upstream.expect_untouched();
}

fn a_body_over_its_limit_is_refused_instead_of_continued(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let gateway = route(driver, &upstream.address, "max_body = \"1KiB\"");
    let mut client = gateway.connect();
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1025\r\n\r\n");
    let response = client.response().expect_failure(413);
    assert!(response.interim.is_empty());
    upstream.expect_untouched();
}

fn a_chunked_body_over_its_limit_is_cut_off(driver: Driver) {
    let upstream = Upstream::new(|peer| {
        // The connection may end before a head came: all of it was read and refused at once.
        let Some(head) = peer.next_head() else { return };
        peer.try_body(&head).expect_err("a body cut off");
    });
    let gateway = route(driver, &upstream.address, "max_body = \"1KiB\"");
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n200\r\n");
    client.send([b'x'; 0x200]);
    client.send("\r\n201\r\n");
    client.send([b'x'; 0x201]);
    client.send("\r\n0\r\n\r\n");
    client.response().expect_failure(413);
    client.expect_closed();
}

fn a_body_of_just_the_limit_passes(driver: Driver) {
    let upstream = Upstream::saying("ok");
    let gateway = route(driver, &upstream.address, "max_body = \"1KiB\"");
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1024\r\n\r\n");
    client.send([b'x'; 1024]);
    client.response().expect(200);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n");
    client.send([b'x'; 1024]);
    client.send("\r\n0\r\n\r\n");
    client.response().expect(200);
}

fn timeouts_of_one_route_do_not_touch_another(driver: Driver) {
    let upstream = Upstream::new(|peer| {
        while let Some(request) = peer.next_request() {
            match request.target() {
                "/slow" => {
                    peer.wait_closed();
                }
                _ => peer.send(ok("ok")),
            }
        }
    });
    let gateway = Gateway::start(
        driver,
        format!(
            "[upstreams.app]\ntargets = [\"{}\"]\n\
         [[routes]]\nname = \"slow\"\npath = \"/slow\"\nupstream = \"app\"\ntimeouts = {{ first_byte = \"200ms\" }}\n\
         [[routes]]\nname = \"all\"\npath = \"/*\"\nupstream = \"app\"\n",
            upstream.address
        ),
    );
    let mut client = gateway.connect();
    client.get("/").expect(200);
    client.get("/slow").expect_failure(504);
    client.get("/").expect(200);
}

fn the_whole_is_over_before_connecting_is(driver: Driver) {
    let target = Hanging::new();
    let gateway = route(
        driver,
        &target.address,
        // Less than the five seconds that connecting may take otherwise.
        "timeouts = { total = \"200ms\" }",
    );
    for _ in 0..2 {
        // The same each time: the target is not to blame, so it is not skipped.
        let response = gateway.get("/").expect_failure(504);
        assert!(response.text().contains("total_timeout"), "{}", response.text());
    }
}
