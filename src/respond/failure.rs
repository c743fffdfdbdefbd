//! Everything that can go wrong with a request, and the one total map from it to what the client
//! gets, who is to blame, and what becomes of the connections.

mod causes;

use std::borrow::Cow;

use crate::http::Bad;
use crate::http::grpc::Code;
use crate::policy::auth::jwt::{Fault as ProofFault, Refusal as TokenRefusal};
use crate::upstream::Cause;

pub use super::meaning::{Blame, Meaning};

/// Why a request failed. One variant per row of the table in docs/ERRORS.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The request's bytes break a rule of HTTP.
    BadRequest(Bad),
    /// The request's content breaks its framing.
    BadRequestBody(Bad),
    /// The head did not come in time.
    HeaderTimeout,
    /// The content came too slowly.
    BodyTimeout,
    /// The content is larger than the route allows.
    BodyTooLarge,
    /// The client went away before its answer.
    ClientGone,
    /// CONNECT, which a gateway does not offer.
    ConnectMethod,
    /// TRACE that must go no further; what it would tell could hold secrets.
    TraceMethod,
    /// Plain HTTP where TLS is spoken.
    PlainHttp,
    /// The connection was opened for another host.
    Misdirected,
    /// No route matches.
    NoRoute,
    /// Routes match but for the method.
    MethodNotAllowed,
    /// The client's address is not among those that may call the route.
    AddressDenied,
    /// The service that is asked about the route's requests refused it, with this status.
    ForwardAuthDenied(u16),
    /// That service gave no answer that could be understood.
    ForwardAuthFailed,
    /// The route needs a credential.
    NoCredential,
    /// The credential is not known, or no longer, or not for this product.
    BadCredential,
    /// The application or its account may not call, for now or not yet.
    ApplicationSuspended,
    /// The application's time is over.
    ApplicationExpired,
    /// The plan does not have the method.
    MethodNotInPlan,
    /// No mapping rule says what the request counts as.
    NoMappingRule,
    /// The product is no longer to be called.
    ProductRetired,
    /// The token is not taken.
    InvalidToken(TokenRefusal),
    /// It is not proved that the token's key is the client's.
    InvalidProof(ProofFault),
    /// The token is good, but not for this.
    InsufficientToken(TokenRefusal),
    /// No keys have come by which the token could be told.
    NoTokenKeys,
    /// The server that knows the token does not say whether it is good.
    IntrospectionFailed,
    /// Too many questions about who calls are open.
    IdentityOverloaded,
    /// A rate limit refused it.
    RateLimited,
    /// A quota has not so much left.
    QuotaExceeded,
    /// What a strict plan's request is charged can't be written to the store.
    LedgerUnavailable,
    /// Too many requests in flight for this client.
    ClientConcurrency,
    /// Too many requests in flight on this route.
    RouteConcurrency,
    /// No room to keep another client's limit state.
    LimitState,
    /// This core's buffers are used up.
    Overloaded,
    /// The rewritten path can't be sent.
    BadRewrite,
    /// The upstream has no target with an address.
    NoTarget,
    /// The target refused the connection, or there is no way to it.
    ConnectFailed(Cause),
    /// The target's certificate is not one that this upstream may have.
    BadCertificate(Cause),
    /// The target and we agreed on no TLS.
    NoTls(Cause),
    /// The target does not speak HTTP/2.
    NoHttp2,
    /// The target opens no tunnels over HTTP/2.
    NoTunnel,
    /// Connecting took too long.
    ConnectTimeout,
    /// No descriptor or port left for an upstream connection.
    NoDescriptors(Cause),
    /// The target closed or reset the connection before its answer.
    ClosedEarly,
    /// The target's answer breaks a rule of HTTP.
    BadResponse(Bad),
    /// The target's answer ended before its content did.
    ResponseIncomplete,
    /// No answer in time.
    FirstByteTimeout,
    /// The answer stalled.
    ResponseTimeout,
    /// The whole exchange took too long.
    TotalTimeout,
    /// A tunnel was silent for too long, or has lasted as long as it may.
    TunnelTimeout,
    /// A connection that is passed on by name did not say in time for whom it is.
    HelloTimeout,
    /// Nothing is passed on for the name that a connection asks for, or without one.
    NoForward,
}

impl Failure {
    /// Names by [`Failure::kind`], for counters.
    pub const KINDS: &[&str] = &[
        "bad_request",
        "bad_request_body",
        "header_timeout",
        "body_timeout",
        "body_too_large",
        "client_gone",
        "connect_method",
        "trace_method",
        "plain_http",
        "misdirected",
        "no_route",
        "method_not_allowed",
        "address_denied",
        "forward_auth_denied",
        "forward_auth_failed",
        "no_credential",
        "bad_credential",
        "application_suspended",
        "application_expired",
        "method_not_in_plan",
        "no_mapping_rule",
        "product_retired",
        "invalid_token",
        "invalid_dpop_proof",
        "insufficient_token",
        "no_token_keys",
        "introspection_failed",
        "identity_overloaded",
        "rate_limited",
        "quota_exceeded",
        "ledger_unavailable",
        "client_concurrency",
        "route_concurrency",
        "limit_state_full",
        "overloaded",
        "bad_rewrite",
        "no_target",
        "connect_failed",
        "bad_certificate",
        "no_tls",
        "no_http2",
        "no_tunnel",
        "connect_timeout",
        "no_descriptors",
        "closed_early",
        "bad_response",
        "response_incomplete",
        "first_byte_timeout",
        "response_timeout",
        "total_timeout",
        "tunnel_timeout",
        "hello_timeout",
        "no_forward",
    ];

    /// Its place among [`Failure::KINDS`]: bad requests are one kind each, whatever the rule.
    pub fn kind(self) -> usize {
        match self {
            Self::BadRequest(_) => 0,
            Self::BadRequestBody(_) => 1,
            other => {
                let name = other.meaning().name;
                Self::KINDS.iter().position(|kind| *kind == name).unwrap_or_default()
            }
        }
    }

    /// The total map.
    pub fn meaning(self) -> Meaning {
        use Blame::{Client, Gateway, Upstream};
        let m = |status, name, title, proxy_status, blame, close| Meaning {
            status,
            name,
            title,
            proxy_status,
            blame,
            close,
        };
        match self {
            Self::BadRequest(bad) | Self::BadRequestBody(bad) => {
                m(bad.status(), bad.name(), bad.detail(), "http_request_error", Client, true)
            }
            Self::HeaderTimeout => m(
                408,
                "header_timeout",
                "The request head did not arrive in time",
                "http_request_error",
                Client,
                true,
            ),
            Self::BodyTimeout => m(
                408,
                "body_timeout",
                "The request content arrived too slowly",
                "http_request_error",
                Client,
                true,
            ),
            Self::BodyTooLarge => m(
                413,
                "body_too_large",
                "The request content is too large",
                "http_request_denied",
                Client,
                true,
            ),
            Self::ClientGone => m(
                499,
                "client_gone",
                "The client closed the connection",
                "connection_terminated",
                Client,
                true,
            ),
            Self::ConnectMethod => m(
                501,
                "connect_method",
                "This gateway is no tunnel",
                "http_request_denied",
                Client,
                true,
            ),
            Self::TraceMethod => m(
                501,
                "trace_method",
                "This gateway does not answer TRACE",
                "http_request_denied",
                Client,
                false,
            ),
            Self::PlainHttp => m(
                400,
                "plain_http",
                "This port speaks TLS: use https",
                "http_request_error",
                Client,
                true,
            ),
            Self::Misdirected => m(
                421,
                "misdirected",
                "This connection is for another host",
                "http_request_denied",
                Client,
                false,
            ),
            Self::NoRoute => {
                m(404, "no_route", "No such resource", "destination_not_found", Client, false)
            }
            Self::MethodNotAllowed => m(
                405,
                "method_not_allowed",
                "The method is not allowed here",
                "http_request_denied",
                Client,
                false,
            ),
            Self::NoTokenKeys
            | Self::IntrospectionFailed
            | Self::IdentityOverloaded
            | Self::LedgerUnavailable
            | Self::ForwardAuthFailed => {
                let (name, title) = self.of_control();
                m(503, name, title, "proxy_internal_response", Gateway, false)
            }
            Self::InvalidToken(_)
            | Self::InvalidProof(_)
            | Self::InsufficientToken(_)
            | Self::AddressDenied
            | Self::ForwardAuthDenied(_)
            | Self::NoCredential
            | Self::BadCredential
            | Self::ApplicationSuspended
            | Self::ApplicationExpired
            | Self::MethodNotInPlan
            | Self::NoMappingRule
            | Self::ProductRetired
            | Self::QuotaExceeded => {
                let (status, name, title) = self.of_access();
                m(status, name, title, "http_request_denied", Client, false)
            }
            Self::RateLimited => {
                m(429, "rate_limited", "Too many requests", "http_request_denied", Client, false)
            }
            Self::ClientConcurrency => m(
                429,
                "client_concurrency",
                "Too many requests at once",
                "http_request_denied",
                Client,
                false,
            ),
            Self::RouteConcurrency => m(
                503,
                "route_concurrency",
                "Too many requests at once",
                "connection_limit_reached",
                Gateway,
                false,
            ),
            Self::LimitState => m(
                503,
                "limit_state_full",
                "The service is overloaded",
                "proxy_internal_response",
                Gateway,
                false,
            ),
            Self::Overloaded => m(
                503,
                "overloaded",
                "The service is overloaded",
                "proxy_internal_response",
                Gateway,
                true,
            ),
            Self::BadRewrite => m(
                400,
                "bad_rewrite",
                "The path can't be forwarded",
                "http_request_error",
                Client,
                false,
            ),
            Self::NoTarget => m(
                503,
                "no_target",
                "The service is not available",
                "destination_unavailable",
                Upstream,
                false,
            ),
            Self::ConnectFailed(_) => m(
                502,
                "connect_failed",
                "The service can't be reached",
                "connection_refused",
                Upstream,
                false,
            ),
            Self::BadCertificate(_) => m(
                502,
                "bad_certificate",
                "The service can't be trusted",
                "tls_certificate_error",
                Upstream,
                false,
            ),
            Self::NoTls(_) => m(
                502,
                "no_tls",
                "The service can't be reached securely",
                "tls_protocol_error",
                Upstream,
                false,
            ),
            Self::NoHttp2 => m(
                502,
                "no_http2",
                "The upstream does not speak HTTP/2",
                "http_protocol_error",
                Upstream,
                false,
            ),
            Self::NoTunnel => m(
                502,
                "no_tunnel",
                "The service takes no such connections",
                "http_protocol_error",
                Upstream,
                false,
            ),
            Self::ConnectTimeout => m(
                504,
                "connect_timeout",
                "The service can't be reached in time",
                "connection_timeout",
                Upstream,
                false,
            ),
            Self::NoDescriptors(_) => m(
                503,
                "no_descriptors",
                "The service is overloaded",
                "proxy_internal_error",
                Gateway,
                false,
            ),
            Self::ClosedEarly => m(
                502,
                "closed_early",
                "The service closed the connection without an answer",
                "connection_terminated",
                Upstream,
                false,
            ),
            Self::BadResponse(_) => m(
                502,
                "bad_response",
                "The service gave an answer that is not valid",
                "http_protocol_error",
                Upstream,
                false,
            ),
            Self::ResponseIncomplete => m(
                502,
                "response_incomplete",
                "The service's answer ended too early",
                "http_response_incomplete",
                Upstream,
                true,
            ),
            Self::FirstByteTimeout => m(
                504,
                "first_byte_timeout",
                "The service did not answer in time",
                "http_response_timeout",
                Upstream,
                false,
            ),
            Self::ResponseTimeout => m(
                504,
                "response_timeout",
                "The service's answer stalled",
                "connection_read_timeout",
                Upstream,
                true,
            ),
            Self::TotalTimeout => m(
                504,
                "total_timeout",
                "The service did not answer in time",
                "http_response_timeout",
                Upstream,
                false,
            ),
            // Nobody did wrong, and a busy gateway has many of these.
            Self::TunnelTimeout => m(
                504,
                "tunnel_timeout",
                "The tunnel's time is over",
                "connection_read_timeout",
                Client,
                true,
            ),
            Self::HelloTimeout => m(
                408,
                "hello_timeout",
                "The connection did not say in time what it is for",
                "connection_read_timeout",
                Client,
                true,
            ),
            Self::NoForward => m(
                421,
                "no_forward",
                "Nothing here has that name",
                "destination_not_found",
                Client,
                true,
            ),
        }
    }

    /// Status, name and title of those that say that somebody may not call.
    fn of_access(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::AddressDenied => (403, "address_denied", "Your address may not call this"),
            Self::ForwardAuthDenied(status) => {
                (status, "forward_auth_denied", "The request was refused")
            }
            Self::NoCredential => (401, "no_credential", "A credential is needed"),
            Self::BadCredential => (401, "bad_credential", "The credential is not valid"),
            Self::InvalidToken(_) => (401, "invalid_token", "The token is not accepted"),
            Self::InvalidProof(_) => {
                (401, "invalid_dpop_proof", "The proof of the token's key is not accepted")
            }
            Self::InsufficientToken(_) => {
                (403, "insufficient_token", "The token does not allow this")
            }
            Self::ApplicationSuspended => {
                (403, "application_suspended", "The application may not call now")
            }
            Self::ApplicationExpired => {
                (403, "application_expired", "The application's time is over")
            }
            Self::MethodNotInPlan => (403, "method_not_in_plan", "The plan does not include this"),
            Self::QuotaExceeded => (429, "quota_exceeded", "The quota is used up"),
            Self::ProductRetired => (410, "product_retired", "This is no longer offered"),
            _ => (404, "no_mapping_rule", "No such resource"),
        }
    }

    /// Name and title of those that say that control has no answer.
    fn of_control(self) -> (&'static str, &'static str) {
        match self {
            Self::ForwardAuthFailed => {
                ("forward_auth_failed", "Requests can't be judged at the moment")
            }
            Self::NoTokenKeys => ("no_token_keys", "Tokens can't be checked at the moment"),
            Self::IntrospectionFailed => {
                ("introspection_failed", "The token can't be checked at the moment")
            }
            Self::LedgerUnavailable => ("ledger_unavailable", "The request can't be accounted for"),
            _ => ("identity_overloaded", "Too many callers are being checked"),
        }
    }

    /// The code that a gRPC call gets: its status's, unless that says less than the failure.
    pub fn grpc(self) -> Code {
        match self {
            Self::TotalTimeout => Code::DeadlineExceeded,
            // Who is sent elsewhere is to sign in there.
            Self::ForwardAuthDenied(300..=399) => Code::Unauthenticated,
            other => Code::of_http(other.meaning().status),
        }
    }

    /// What the log says beyond the name: the rule that an answer broke, or what kept us from a target.
    pub fn detail(self) -> Cow<'static, str> {
        let text = match self {
            Self::BadResponse(bad) => bad.detail(),
            Self::InvalidToken(refusal) | Self::InsufficientToken(refusal) => refusal.text(),
            Self::InvalidProof(fault) => fault.text(),
            Self::ConnectFailed(cause)
            | Self::BadCertificate(cause)
            | Self::NoTls(cause)
            | Self::NoDescriptors(cause) => return cause.to_string().into(),
            other => other.meaning().title,
        };
        text.into()
    }
}
