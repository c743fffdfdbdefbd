//! One record a connection that was passed on unread.

use super::{Clock, Object, combined_value, number, or_dash};

/// What is known of such a connection when it is over. Text is empty where there is none.
#[derive(Debug, Clone, Copy, Default)]
pub struct Passed<'a> {
    /// The client's address.
    pub client: &'a [u8],
    /// What opened the connection: the proxy, where that said for whom by a PROXY header.
    pub peer: &'a [u8],
    /// The listener's name.
    pub listener: &'a [u8],
    /// The server's name that the client asked for by TLS.
    pub server_name: &'a [u8],
    /// Bytes received from the client.
    pub bytes_in: u64,
    /// Bytes sent to the client.
    pub bytes_out: u64,
    /// From its beginning to its end, microseconds.
    pub duration_us: u64,
    /// Of that, until it had a target, microseconds.
    pub connected_us: Option<u64>,
    /// The upstream's name.
    pub upstream: &'a [u8],
    /// The address of the target that was tried last.
    pub target: &'a [u8],
    /// Tries after the first.
    pub retries: u32,
    /// The name of what went wrong.
    pub failure: &'a [u8],
}

impl Passed<'_> {
    /// Appends one JSON object and a line end, told from a request's by its `protocol`. Texts that
    /// are empty and numbers that are unknown are left out.
    pub fn write_json(&self, clock: &Clock, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"time\":\"");
        clock.rfc3339(out);
        out.extend_from_slice(b"\",\"protocol\":\"tcp\"");
        let mut object = Object { out };
        object.text(b",\"client\":\"", self.client);
        object.text(b",\"peer\":\"", self.peer);
        object.text(b",\"listener\":\"", self.listener);
        object.text(b",\"server_name\":\"", self.server_name);
        object.number(b",\"bytes_in\":", self.bytes_in);
        object.number(b",\"bytes_out\":", self.bytes_out);
        object.number(b",\"duration_us\":", self.duration_us);
        object.text(b",\"upstream\":\"", self.upstream);
        object.text(b",\"target\":\"", self.target);
        if let Some(connected_us) = self.connected_us {
            object.number(b",\"connected_us\":", connected_us);
        }
        if !self.target.is_empty() {
            object.number(b",\"retries\":", u64::from(self.retries));
        }
        object.text(b",\"failure\":\"", self.failure);
        out.extend_from_slice(b"}\n");
    }

    /// Appends a line in the combined format: `TCP` and the server's name for the request, 0 for the
    /// status, since none was sent.
    pub fn write_combined(&self, clock: &Clock, out: &mut Vec<u8>) {
        or_dash(self.client, out);
        out.extend_from_slice(b" - - [");
        clock.clf(out);
        out.extend_from_slice(b"] \"TCP ");
        match self.server_name {
            [] => out.push(b'-'),
            name => combined_value(name, out),
        }
        out.extend_from_slice(b"\" 0 ");
        number(self.bytes_out, out);
        out.extend_from_slice(b" \"-\" \"-\"\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed() -> Passed<'static> {
        Passed {
            client: b"192.0.2.1",
            peer: b"10.0.0.1",
            listener: b"sni",
            server_name: b"db.example.com",
            bytes_in: 517,
            bytes_out: 4096,
            duration_us: 1234,
            connected_us: Some(321),
            upstream: b"db",
            target: b"127.0.0.1:5432",
            retries: 1,
            failure: b"tunnel_timeout",
        }
    }

    fn text(write: impl FnOnce(&Clock, &mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&Clock::at(0), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn json_holds_what_is_known() {
        assert_eq!(
            text(|clock, out| passed().write_json(clock, out)),
            "{\"time\":\"1970-01-01T00:00:00.000Z\",\"protocol\":\"tcp\",\"client\":\"192.0.2.1\",\
             \"peer\":\"10.0.0.1\",\"listener\":\"sni\",\"server_name\":\"db.example.com\",\
             \"bytes_in\":517,\"bytes_out\":4096,\"duration_us\":1234,\"upstream\":\"db\",\
             \"target\":\"127.0.0.1:5432\",\"connected_us\":321,\"retries\":1,\
             \"failure\":\"tunnel_timeout\"}\n"
        );
        let refused = Passed { failure: b"no_forward", client: b"192.0.2.1", ..Passed::default() };
        assert_eq!(
            text(|clock, out| refused.write_json(clock, out)),
            "{\"time\":\"1970-01-01T00:00:00.000Z\",\"protocol\":\"tcp\",\"client\":\"192.0.2.1\",\
             \"bytes_in\":0,\"bytes_out\":0,\"duration_us\":0,\"failure\":\"no_forward\"}\n"
        );
    }

    #[test]
    fn combined_has_the_name_for_a_request() {
        let line = |passed: Passed<'_>| text(|clock, out| passed.write_combined(clock, out));
        let whole = line(passed());
        assert!(whole.ends_with("] \"TCP db.example.com\" 0 4096 \"-\" \"-\"\n"), "{whole}");
        let nameless = line(Passed { server_name: b"", ..passed() });
        assert!(nameless.contains("\"TCP -\""), "{nameless}");
    }
}
