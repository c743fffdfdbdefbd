//! One record a request, or a connection that was passed on unread: what happened, as a line of JSON or in the combined format.
//!
//! Pure formatting: where a line goes, and what happens when it cannot, is control's business.
//! Whatever bytes a client sends, a record is one line and, as JSON, valid.

mod clock;
mod escape;
mod passed;

pub use clock::Clock;
pub use passed::Passed;

use escape::{combined_value, json_value};

use crate::config::ClientAttribute;
use crate::http::{Identity, Version};

/// What is known of a request when it is over. Text is as received; empty where there is none.
#[derive(Debug, Clone, Copy, Default)]
pub struct Record<'a> {
    /// The client's address: the peer's, or what a trusted peer says.
    pub client: &'a [u8],
    /// What opened the connection: the proxy, where that said for whom by a PROXY header.
    pub peer: &'a [u8],
    /// The listener's name.
    pub listener: &'a [u8],
    /// Who the client proved to be by a certificate.
    pub identity: Option<&'a Identity>,
    /// Method; empty where the head was not understood.
    pub method: &'a [u8],
    /// Host without port.
    pub host: &'a [u8],
    /// Canonical path.
    pub path: &'a [u8],
    /// Query without `?`.
    pub query: Option<&'a [u8]>,
    /// The request's version.
    pub version: Version,
    /// Status sent to the client; 0: none was.
    pub status: u16,
    /// The gRPC status of its answer.
    pub grpc_status: Option<u16>,
    /// Bytes of request content received.
    pub bytes_in: u64,
    /// Bytes of response content sent.
    pub bytes_out: u64,
    /// From the head complete to the last byte of the response, microseconds.
    pub duration_us: u64,
    /// Of that, from the request sent upstream to the head of the response, microseconds.
    pub upstream_us: Option<u64>,
    /// The route's name.
    pub route: &'a [u8],
    /// The product's name.
    pub product: &'a [u8],
    /// The public id of the application that called.
    pub application: &'a [u8],
    /// The plan's name.
    pub plan: &'a [u8],
    /// The upstream's name.
    pub upstream: &'a [u8],
    /// The address of the target that was tried last.
    pub target: &'a [u8],
    /// The request's id.
    pub request_id: &'a [u8],
    /// User-Agent.
    pub user_agent: &'a [u8],
    /// Referer.
    pub referer: &'a [u8],
    /// The name of the failure the gateway answered with.
    pub failure: &'a [u8],
    /// Tries after the first.
    pub retries: u32,
    /// Whether the client's connection had served a request before.
    pub reused: bool,
    /// Whether the upstream connection had.
    pub upstream_reused: bool,
}

/// Appends the record as one JSON object and a line end. Texts that are empty and numbers that
/// are unknown are left out.
pub fn write_json(record: &Record<'_>, clock: &Clock, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"time\":\"");
    clock.rfc3339(out);
    out.push(b'"');
    let mut object = Object { out };
    object.text(b",\"client\":\"", record.client);
    object.text(b",\"peer\":\"", record.peer);
    object.text(b",\"listener\":\"", record.listener);
    if let Some(identity) = record.identity {
        object.identity(identity);
    }
    object.text(b",\"method\":\"", record.method);
    object.text(b",\"host\":\"", record.host);
    object.text(b",\"path\":\"", record.path);
    object.text(b",\"query\":\"", record.query.unwrap_or(b""));
    if record.version == Version::Http2 {
        object.text(b",\"version\":\"", b"2");
    }
    object.number(b",\"status\":", u64::from(record.status));
    if let Some(status) = record.grpc_status {
        object.number(b",\"grpc_status\":", u64::from(status));
    }
    object.number(b",\"bytes_in\":", record.bytes_in);
    object.number(b",\"bytes_out\":", record.bytes_out);
    object.number(b",\"duration_us\":", record.duration_us);
    object.text(b",\"route\":\"", record.route);
    object.text(b",\"product\":\"", record.product);
    object.text(b",\"application\":\"", record.application);
    object.text(b",\"plan\":\"", record.plan);
    object.text(b",\"upstream\":\"", record.upstream);
    object.text(b",\"target\":\"", record.target);
    if let Some(upstream_us) = record.upstream_us {
        object.number(b",\"upstream_us\":", upstream_us);
        object.number(b",\"retries\":", u64::from(record.retries));
        object.truth(b",\"upstream_reused\":", record.upstream_reused);
    }
    object.text(b",\"failure\":\"", record.failure);
    object.text(b",\"request_id\":\"", record.request_id);
    object.text(b",\"user_agent\":\"", record.user_agent);
    object.text(b",\"referer\":\"", record.referer);
    object.truth(b",\"reused\":", record.reused);
    out.extend_from_slice(b"}\n");
}

/// Appends the record in the combined format of Apache and NGINX and a line end. Bytes that are
/// not printable ASCII, quotes and backslashes are written as `\xHH`.
pub fn write_combined(record: &Record<'_>, clock: &Clock, out: &mut Vec<u8>) {
    or_dash(record.client, out);
    out.extend_from_slice(b" - - [");
    clock.clf(out);
    out.extend_from_slice(b"] \"");
    request_line(record, out);
    out.extend_from_slice(b"\" ");
    number(u64::from(record.status), out);
    out.push(b' ');
    number(record.bytes_out, out);
    for text in [record.referer, record.user_agent] {
        out.extend_from_slice(b" \"");
        or_dash(text, out);
        out.push(b'"');
    }
    out.push(b'\n');
}

fn request_line(record: &Record<'_>, out: &mut Vec<u8>) {
    if record.method.is_empty() {
        return out.push(b'-');
    }
    combined_value(record.method, out);
    out.push(b' ');
    combined_value(record.path, out);
    if let Some(query) = record.query {
        out.push(b'?');
        combined_value(query, out);
    }
    out.extend_from_slice(match record.version {
        Version::Http10 => b" HTTP/1.0",
        Version::Http11 => b" HTTP/1.1",
        Version::Http2 => b" HTTP/2.0",
    });
}

fn or_dash(text: &[u8], out: &mut Vec<u8>) {
    match text {
        [] => out.push(b'-'),
        text => combined_value(text, out),
    }
}

fn number(value: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// A JSON object that is being written. `key` brings the comma, the quotes and the colon, and for
/// a text the quote that opens it.
struct Object<'a> {
    out: &'a mut Vec<u8>,
}

impl Object<'_> {
    fn text(&mut self, key: &[u8], value: &[u8]) {
        if !value.is_empty() {
            self.out.extend_from_slice(key);
            json_value(value, self.out);
            self.out.push(b'"');
        }
    }

    fn identity(&mut self, identity: &Identity) {
        for (name, attribute) in ClientAttribute::ALL {
            let key = [b",\"", name.as_bytes(), b"\":\""].concat();
            self.text(&key, identity.text(attribute).as_bytes());
        }
    }

    fn number(&mut self, key: &[u8], value: u64) {
        self.out.extend_from_slice(key);
        number(value, self.out);
    }

    fn truth(&mut self, key: &[u8], value: bool) {
        self.out.extend_from_slice(key);
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::MAX_LOGGED_VALUE;
    use proptest::prelude::*;

    fn record() -> Record<'static> {
        Record {
            client: b"192.0.2.1",
            peer: b"10.0.0.1",
            listener: b"web",
            identity: None,
            method: b"GET",
            host: b"api.example.com",
            path: b"/orders/42",
            query: Some(b"full=1"),
            version: Version::Http11,
            status: 200,
            grpc_status: None,
            bytes_in: 0,
            bytes_out: 1024,
            duration_us: 1234,
            upstream_us: Some(987),
            route: b"orders",
            product: b"",
            application: b"",
            plan: b"",
            upstream: b"app",
            target: b"127.0.0.1:9001",
            request_id: b"4bf92f3577b34da6a3ce929d0e0e4736",
            user_agent: b"curl/8.5.0 \"quoted\"",
            referer: b"",
            failure: b"",
            retries: 0,
            reused: true,
            upstream_reused: true,
        }
    }

    fn clock() -> Clock {
        Clock::at(1_767_323_045_678)
    }

    fn json(record: &Record<'_>) -> String {
        let mut out = Vec::new();
        write_json(record, &clock(), &mut out);
        String::from_utf8(out).unwrap()
    }

    fn combined(record: &Record<'_>) -> String {
        let mut out = Vec::new();
        write_combined(record, &clock(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_json_record_reads_as_documented() {
        let wanted = concat!(
            r#"{"time":"2026-01-02T03:04:05.678Z","client":"192.0.2.1","peer":"10.0.0.1","#,
            r#""listener":"web","method":"GET","host":"api.example.com","path":"/orders/42","#,
            r#""query":"full=1","status":200,"bytes_in":0,"bytes_out":1024,"duration_us":1234,"#,
            r#""route":"orders","upstream":"app","target":"127.0.0.1:9001","upstream_us":987,"#,
            r#""retries":0,"upstream_reused":true,"#,
            r#""request_id":"4bf92f3577b34da6a3ce929d0e0e4736","#,
            r#""user_agent":"curl/8.5.0 \"quoted\"","reused":true}"#,
            "\n"
        );
        assert_eq!(json(&record()), wanted);
    }

    #[test]
    fn a_call_has_its_status_in_its_record() {
        let line = json(&Record { grpc_status: Some(14), ..record() });
        assert!(line.contains(r#""status":200,"grpc_status":14,"bytes_in":0"#), "{line}");
    }

    #[test]
    fn who_called_is_in_the_record() {
        let called = Record { product: b"shop", application: b"a1b2", plan: b"gold", ..record() };
        let wanted = r#""route":"orders","product":"shop","application":"a1b2","plan":"gold","#;
        assert!(json(&called).contains(wanted), "{}", json(&called));
    }

    #[test]
    fn a_combined_record_reads_as_nginx_would_write_it() {
        let wanted = concat!(
            r#"192.0.2.1 - - [02/Jan/2026:03:04:05 +0000] "GET /orders/42?full=1 HTTP/1.1" "#,
            r#"200 1024 "-" "curl/8.5.0 \x22quoted\x22""#,
            "\n"
        );
        assert_eq!(combined(&record()), wanted);
    }

    #[test]
    fn a_request_that_was_not_understood_has_a_record_too() {
        let record =
            Record { client: b"::1", status: 400, failure: b"bad_head", ..Record::default() };
        assert!(combined(&record).contains(r#"] "-" 400 0 "-" "-""#));
        let value: serde_json::Value = serde_json::from_str(&json(&record)).unwrap();
        assert_eq!(value["failure"], "bad_head");
        assert_eq!(value.get("method"), None);
    }

    #[test]
    fn long_values_are_cut_off() {
        let long = vec![b'a'; 100_000];
        let record = Record { user_agent: &long, ..record() };
        assert!(json(&record).len() < MAX_LOGGED_VALUE + 1000);
        assert!(combined(&record).len() < MAX_LOGGED_VALUE + 1000);
    }

    proptest! {
        #[test]
        fn any_bytes_make_one_valid_line(
            texts in prop::array::uniform5(prop::collection::vec(any::<u8>(), 0..60)),
            text in ".{0,40}",
            numbers in prop::array::uniform4(any::<u64>()),
        ) {
            let record = Record {
                host: &texts[0],
                path: &texts[1],
                query: Some(&texts[2]),
                user_agent: &texts[3],
                method: &texts[4],
                referer: text.as_bytes(),
                bytes_in: numbers[0],
                bytes_out: numbers[1],
                duration_us: numbers[2],
                upstream_us: Some(numbers[3]),
                ..record()
            };
            let line = json(&record);
            prop_assert_eq!(line.matches('\n').count(), 1);
            let value: serde_json::Value = serde_json::from_str(&line).unwrap();
            prop_assert_eq!(value["bytes_out"].as_u64(), Some(numbers[1]));
            if !text.is_empty() {
                prop_assert_eq!(value["referer"].as_str(), Some(&text[..]));
            }

            let line = combined(&record);
            prop_assert_eq!(line.matches('\n').count(), 1);
            prop_assert_eq!(line.matches('"').count(), 6);
            prop_assert!(line.trim_end().bytes().all(|b| (b' '..0x7f).contains(&b)));
        }
    }
}
