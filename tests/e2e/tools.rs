//! What others wrote to speak TLS and HTTP/2 with: curl, nghttp, h2load and `openssl s_client` of
//! Debian. Where one is not installed, its tests say so and pass; `.ci/run` installs them.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use crate::harness::{Driver, Gateway, Signer, Upstream, staple};

both_drivers!(
    curl_gets_over_http2,
    nghttp_gets,
    nghttp_uploads_with_trailers,
    h2load_makes_a_thousand_requests,
    openssl_agrees_on_new_versions,
    openssl_agrees_on_no_old_version,
    openssl_may_not_renegotiate,
);

struct World {
    upstream: Upstream,
    gateway: Gateway,
}

/// Before a service that sends contents back; `None`: the tool is not there.
fn world(driver: Driver, tool: &str) -> Option<World> {
    let mut probe = Command::new(tool);
    let probe = probe.arg("version").stdout(Stdio::null()).stderr(Stdio::null());
    if probe.status().is_err() {
        // Not by eprintln!, which the test runner keeps to itself where a test passes.
        let _ = writeln!(std::io::stderr(), "SKIPPED: {tool} is not installed");
        return None;
    }
    let (signer, upstream) = (Signer::new(), Upstream::echo());
    let own = signer.certify_with(&["a.example", "127.0.0.1"], |params| {
        params.serial_number = Some(77.into());
    });
    let text = format!(
        "[[listeners]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nprotocols = [\"h2\", \"http/1.1\"]\n\
         [listeners.tls]\ncertificates = [\
         {{ certificate = \"a.pem\", key = \"a.key\", ocsp = \"a.ocsp\" }}]\n{}",
        crate::harness::forward_all(&upstream.address)
    );
    let gateway = Gateway::with(driver, text)
        .file("a.pem", own.certificate.as_str())
        .file("a.key", own.key.as_str())
        .file("a.ocsp", staple::good(&[77]))
        .file("ca.pem", signer.pem())
        .file("content", "0123456789".repeat(10_000))
        .start();
    Some(World { upstream, gateway })
}

impl World {
    /// What the tool says, beside the gateway's files and with its own time. `PORT` is the gateway's.
    fn run(&self, tool: &str, arguments: &str, input: &str) -> (bool, String) {
        let port = self.gateway.web().port().to_string();
        let mut command = Command::new("timeout");
        command.args(["20", tool]).args(arguments.replace("PORT", &port).split(' '));
        command.current_dir(self.gateway.folder());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("coreutils");
        // It may not read what it is told, and need not.
        let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
        let Output { status, stdout, stderr } = child.wait_with_output().expect("a child");
        let said = [stdout, stderr].concat();
        (status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    /// The same of one that must succeed, and say all of this.
    #[track_caller]
    fn expect(&self, tool: &str, arguments: &str, wanted: &[&str]) {
        let (succeeded, said) = self.run(tool, arguments, "");
        assert!(succeeded, "{tool} {arguments}: {said}");
        for wanted in wanted {
            assert!(said.contains(wanted), "{tool} {arguments}: no `{wanted}` in {said}");
        }
    }
}

fn curl_gets_over_http2(driver: Driver) {
    let Some(world) = world(driver, "curl") else { return };
    let to = "--silent --show-error --cacert ca.pem --connect-to a.example:443:127.0.0.1:PORT \
              --write-out %{http_version}/%{http_code}/%{size_download} --output /dev/null \
              https://a.example/";
    world.expect("curl", &format!("--http2 {to}"), &["2/200/0"]);
    world.expect("curl", &format!("--http1.1 {to}"), &["1.1/200/0"]);
    world.expect("curl", &format!("--http2 --data-binary @content {to}"), &["2/200/100000"]);
}

fn nghttp_gets(driver: Driver) {
    let Some(world) = world(driver, "nghttp") else { return };
    let wanted = ["The negotiated protocol: h2", ":status: 200"];
    world.expect("nghttp", "-v --timeout=20 https://127.0.0.1:PORT/", &wanted);
}

fn nghttp_uploads_with_trailers(driver: Driver) {
    let Some(world) = world(driver, "nghttp") else { return };
    let upload = "-v --timeout=20 --data=content --no-content-length --trailer=x-sum:7 https://127.0.0.1:PORT/up";
    world.expect("nghttp", upload, &[":status: 200"]);
    let request = world.upstream.only_request();
    assert_eq!(request.body, "0123456789".repeat(10_000).as_bytes());
    assert!(request.trailers.contains(&("x-sum".into(), "7".into())), "{:?}", request.trailers);
}

fn h2load_makes_a_thousand_requests(driver: Driver) {
    let Some(world) = world(driver, "h2load") else { return };
    let load = "-n 1000 -c 4 -m 16 https://127.0.0.1:PORT/";
    let wanted = ["1000 succeeded, 0 failed, 0 errored, 0 timeout", "1000 2xx, 0 3xx"];
    world.expect("h2load", load, &wanted);
    assert_eq!(world.upstream.count(), 1000);
}

const CONNECT: &str = "s_client -connect 127.0.0.1:PORT -servername a.example -CAfile ca.pem \
     -verify_return_error -verify_hostname a.example";

fn openssl_agrees_on_new_versions(driver: Driver) {
    let Some(world) = world(driver, "openssl") else { return };
    for (version, shown) in [("-tls1_3", "TLSv1.3"), ("-tls1_2", "TLSv1.2")] {
        let arguments = format!("{CONNECT} {version} -status -alpn h2,http/1.1");
        let wanted = [
            shown,
            "ALPN protocol: h2",
            "OCSP Response Status: successful",
            "Serial Number: 4D",
            "Verification: OK",
        ];
        world.expect("openssl", &arguments, &wanted);
        let arguments = format!("{CONNECT} {version} -alpn http/1.1");
        world.expect("openssl", &arguments, &["ALPN protocol: http/1.1"]);
    }
}

fn openssl_agrees_on_no_old_version(driver: Driver) {
    let Some(world) = world(driver, "openssl") else { return };
    for version in ["-tls1", "-tls1_1"] {
        let arguments = format!("{CONNECT} {version} -cipher ALL:@SECLEVEL=0");
        let (succeeded, said) = world.run("openssl", &arguments, "");
        assert!(!succeeded, "{said}");
        // The gateway's word: openssl itself would have offered it.
        assert!(said.contains("SSL alert number"), "{version}: {said}");
    }
}

fn openssl_may_not_renegotiate(driver: Driver) {
    let Some(world) = world(driver, "openssl") else { return };
    let arguments = format!("{CONNECT} -tls1_2 -alpn http/1.1");
    let (_, said) = world.run("openssl", &arguments, "R\n");
    assert!(said.contains("RENEGOTIATING"), "{said}");
    assert!(said.contains("no renegotiation"), "{said}");
}
