//! gRPC: which calls a route takes, and how they go on.

use std::collections::BTreeMap;

use super::words;
use crate::config::diagnostic::Report;
use crate::config::document::Place;
use crate::config::file;
use crate::config::settings::{Action, HttpProtocol, PathMatch, Upstream, ValueMatch, ValueTest};

/// The calls of a service as a path; what else could say so must be left out.
pub(super) fn path(
    written: &file::GrpcMatch,
    place: &Place<'_>,
    report: &mut Report<'_>,
) -> Option<PathMatch> {
    for key in ["path", "path_regex", "methods"] {
        if place.key(key).written() {
            let message = format!("`grpc` says which requests these are; `{key}` says it again");
            report.error(&place.name(key), message, "keep one of them");
        }
    }
    let key = place.key("grpc");
    let service = written.service.as_deref()?;
    if !service.split('.').all(words::is_identifier) {
        let message = format!("{service:?} is not the name of a service");
        let help = "write it with its package, as in \"shop.v1.Orders\"";
        report.error(&key.key("service").trail, message, help);
    }
    let method = written.method.as_deref();
    if let Some(method) = method.filter(|method| !words::is_identifier(method)) {
        let message = format!("{method:?} is not the name of a method");
        let help = "write it as the service's definition has it, as in \"Get\"";
        report.error(&key.key("method").trail, message, help);
    }
    Some(PathMatch::Pattern(format!("/{service}/{}", method.unwrap_or("{method}"))))
}

/// The Content-Type of calls.
pub(super) fn content_type(
    headers: &[ValueMatch],
    place: &Place<'_>,
    report: &mut Report<'_>,
) -> ValueMatch {
    let name = "content-type".to_owned();
    if headers.iter().any(|header| header.name == name) {
        let message = "`grpc` says which Content-Type these requests have";
        report.error(&place.key("headers").trail, message, "remove \"content-type\" here");
    }
    ValueMatch { name, test: ValueTest::Prefix("application/grpc".to_owned()) }
}

/// Calls need an upstream that speaks HTTP/2.
pub(super) fn upstream(
    written: &file::Route,
    action: Option<&Action>,
    upstreams: &BTreeMap<String, Upstream>,
    place: &Place<'_>,
    report: &mut Report<'_>,
) {
    let Some(Action::Upstream(name)) = action else { return };
    let known = upstreams.get(name);
    if known.is_none_or(|upstream| upstream.protocol == HttpProtocol::Http2) {
        return;
    }
    let message = format!("gRPC needs HTTP/2, which {name:?} does not speak");
    let help = format!("write protocol = \"h2\" in [upstreams.{name}]");
    if written.grpc_web {
        report.error(&place.key("grpc_web").trail, message, help);
    } else if written.grpc.is_some() {
        report.warning(&place.key("grpc").trail, message, help);
    }
}
