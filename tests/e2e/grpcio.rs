//! gRPC's own Python implementation as client and server (`grpcio.py`). It comes from PyPI: `.ci/run`
//! puts it into `grpcio/` of the target directory. Where it is not, this test says so and passes.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::harness::{BINARY, Driver, Gateway};

both_drivers!(grpcio_calls_itself_through_the_gateway);

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/grpcio.py");

/// A Python that has grpcio: that of the target directory, else the system's.
fn python() -> Option<PathBuf> {
    let target = Path::new(BINARY).ancestors().nth(2).expect("a target directory");
    let mut found = [target.join("grpcio/bin/python"), "python3".into()].into_iter();
    let has = |python: &PathBuf| {
        let mut probe = Command::new(python);
        probe.args(["-c", "import grpc"]).stderr(Stdio::null());
        probe.status().is_ok_and(|status| status.success())
    };
    let python = found.find(has);
    if python.is_none() {
        eprintln!("SKIPPED: no Python here has grpcio (pip install grpcio)");
    }
    python
}

/// Ends with its test.
struct Script(Child);

impl Drop for Script {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn grpcio_calls_itself_through_the_gateway(driver: Driver) {
    let Some(python) = python() else { return };
    let mut command = Command::new(python);
    command.arg(SCRIPT).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut script = Script(command.spawn().expect("Python"));
    let mut said = BufReader::new(script.0.stdout.take().expect("a pipe")).lines();
    let port = said.next().expect("a port").expect("a port");
    let gateway = Gateway::start(
        driver,
        format!(
            "[[listeners]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nprotocols = [\"h2\"]\n\
             [upstreams.app]\ntargets = [\"127.0.0.1:{port}\"]\nprotocol = \"h2\"\n\
             [upstreams.gone]\ntargets = [\"127.0.0.1:1\"]\nprotocol = \"h2\"\n\
             [[routes]]\nname = \"app\"\ngrpc = {{ service = \"a.B\" }}\nupstream = \"app\"\n\
             [[routes]]\nname = \"gone\"\ngrpc = {{ service = \"a.Gone\" }}\nupstream = \"gone\"\n\
             [[routes]]\nname = \"slow\"\ngrpc = {{ service = \"a.Slow\" }}\nupstream = \"app\"\n\
             rewrite = \"/a.B/Hang\"\ntimeouts = {{ total = \"300ms\" }}\n\
             [[routes]]\nname = \"limited\"\ngrpc = {{ service = \"a.Limited\" }}\n\
             upstream = \"gone\"\nlimits = [{{ rate = \"1/h\", key = \"route\" }}]\n"
        ),
    );
    let mut stdin = script.0.stdin.take().expect("a pipe");
    writeln!(stdin, "{}", gateway.web()).expect("Python reads");
    let done: Vec<String> = said.map_while(Result::ok).collect();
    assert!(script.0.wait().expect("a child").success(), "after {done:?}");
    assert_eq!(done.last().map(String::as_str), Some("ten thousand calls"), "{done:?}");
}
