//! Why a message was refused: one variant for each reason, so that each can be counted and tested.

macro_rules! refusals {
    ($($variant:ident $status:literal $name:literal $detail:literal;)*) => {
        /// A message that is not HTTP, has two readings, or is over a bound.
        ///
        /// [`Bad::status`] is the answer to a client; from an upstream all are a 502.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Bad {
            $(#[doc = $detail] $variant,)*
        }

        impl Bad {
            /// All of them, in order.
            pub const ALL: &[Bad] = &[$(Bad::$variant,)*];

            /// Their names, in the same order.
            pub const NAMES: &[&str] = &[$($name,)*];

            /// The status code a client gets.
            pub fn status(self) -> u16 {
                match self { $(Bad::$variant => $status,)* }
            }

            /// A stable name for logs and metrics.
            pub fn name(self) -> &'static str {
                match self { $(Bad::$variant => $name,)* }
            }

            /// What was wrong, in one phrase without input from the message.
            pub fn detail(self) -> &'static str {
                match self { $(Bad::$variant => $detail,)* }
            }
        }
    };
}

refusals! {
    // Line ends and bytes.
    BareCr 400 "bare_cr" "carriage return without line feed";
    BareLf 400 "bare_lf" "line feed without carriage return";
    NulByte 400 "nul_byte" "NUL byte";
    ControlByte 400 "control_byte" "control character";

    // The request line.
    LeadingBlankLines 400 "leading_blank_lines" "too many empty lines before the request line";
    BadMethod 400 "bad_method" "method is not a token";
    MethodTooLong 501 "method_too_long" "method is longer than any known";
    BadRequestLine 400 "bad_request_line" "malformed request line";
    MissingVersion 400 "missing_version" "request line without a version";
    UnsupportedVersion 505 "unsupported_version" "HTTP version is neither 1.0 nor 1.1";

    // The target.
    UriTooLong 414 "uri_too_long" "request target too long";
    BadTargetByte 400 "bad_target_byte" "byte not allowed in a request target";
    TargetFragment 400 "target_fragment" "fragment in a request target";
    BadTargetForm 400 "bad_target_form" "request target has no known form";
    BadScheme 400 "bad_scheme" "scheme is neither http nor https";
    AsteriskMethod 400 "asterisk_method" "asterisk target with a method other than OPTIONS";
    BadConnectTarget 400 "bad_connect_target" "CONNECT target is not host and port";
    BadPercent 400 "bad_percent" "malformed percent-encoding in the path";
    EncodedNul 400 "encoded_nul" "encoded NUL in the path";
    EncodedSlash 400 "encoded_slash" "encoded slash in the path";
    PathAboveRoot 400 "path_above_root" "path climbs above the root";

    // Host.
    MissingHost 400 "missing_host" "HTTP/1.1 request without Host";
    RepeatedHost 400 "repeated_host" "more than one Host field";
    EmptyHost 400 "empty_host" "empty host";
    HostUserinfo 400 "host_userinfo" "user information in the host";
    BadHost 400 "bad_host" "host has a byte or a label that no name has";
    BadHostPort 400 "bad_host_port" "malformed port";
    BadHostLiteral 400 "bad_host_literal" "malformed IPv6 literal";
    HostMismatch 400 "host_mismatch" "Host differs from the target's authority";

    // Field lines.
    HeadTooLarge 431 "head_too_large" "head too large";
    TooManyFields 431 "too_many_fields" "too many fields";
    WhitespaceBeforeFields 400 "whitespace_before_fields" "white space before the first field";
    ObsFold 400 "obs_fold" "folded field line";
    EmptyFieldName 400 "empty_field_name" "empty field name";
    BadFieldName 400 "bad_field_name" "field name is not a token";
    WhitespaceBeforeColon 400 "whitespace_before_colon" "white space before the colon";
    BlankAroundValue 400 "blank_around_value" "white space around a field value";
    MissingColon 400 "missing_colon" "field line without a colon";

    // Who calls; only where that is looked for here.
    RepeatedAuthorization 400 "repeated_authorization" "more than one Authorization field";

    // Connection and Expect.
    BadConnectionOption 400 "bad_connection_option" "Connection option is not a token";
    TooManyConnectionOptions 400 "too_many_connection_options" "too many Connection options";
    UnknownExpectation 417 "unknown_expectation" "expectation other than 100-continue";

    // Framing.
    BothFramings 400 "both_framings" "both Transfer-Encoding and Content-Length";
    RepeatedContentLength 400 "repeated_content_length" "more than one Content-Length field";
    ListedContentLength 400 "listed_content_length" "Content-Length is a list";
    SignedContentLength 400 "signed_content_length" "Content-Length has a sign";
    BadContentLength 400 "bad_content_length" "Content-Length is not a number";
    ContentLengthOverflow 400 "content_length_overflow" "Content-Length is too large";
    OldTransferEncoding 400 "old_transfer_encoding" "Transfer-Encoding in an HTTP/1.0 message";
    BadTransferEncoding 400 "bad_transfer_encoding" "malformed Transfer-Encoding";
    RepeatedChunked 400 "repeated_chunked" "chunked applied more than once";
    ChunkedNotLast 400 "chunked_not_last" "Transfer-Encoding does not end in chunked";
    UnknownTransferCoding 400 "unknown_transfer_coding" "transfer coding other than chunked";
    UnexpectedFraming 400 "unexpected_framing" "content announced where none is allowed";

    // Switching protocols: requests, then answers.
    BadWebsocketVersion 400 "bad_websocket_version" "WebSocket without one Sec-WebSocket-Version";
    OtherWebsocketVersion 426 "other_websocket_version" "WebSocket version other than 13";
    BadWebsocketKey 400 "bad_websocket_key" "WebSocket without one Sec-WebSocket-Key of 16 bytes in base64";
    BadUpgrade 400 "bad_upgrade" "protocol switch other than the one asked for";
    BadWebsocketAccept 400 "bad_websocket_accept" "Sec-WebSocket-Accept does not answer the key";
    BadWebsocketProtocol 400 "bad_websocket_protocol" "WebSocket subprotocol that was not offered";

    // gRPC.
    BadGrpcTimeout 400 "bad_grpc_timeout" "grpc-timeout is not one to eight digits and a unit";
    BadBase64 400 "bad_base64" "malformed base64";

    // The status line.
    BadStatusLine 400 "bad_status_line" "malformed status line";
    BadStatusCode 400 "bad_status_code" "status code is not within 100 to 599";
    UnexpectedUpgrade 400 "unexpected_upgrade" "protocol switch that was not asked for";

    // Content.
    BadChunkSize 400 "bad_chunk_size" "malformed chunk size";
    ChunkSizeOverflow 400 "chunk_size_overflow" "chunk size is too large";
    ChunkExtensionTooLong 400 "chunk_extension_too_long" "chunk extension too long";
    BadChunkEnd 400 "bad_chunk_end" "chunk data is not followed by a line end";
    TrailersTooLarge 431 "trailers_too_large" "trailers too large";
    TooManyTrailers 431 "too_many_trailers" "too many trailer fields";
    MalformedStream 400 "malformed_stream" "stream that breaks a rule of HTTP/2";
    Truncated 400 "truncated" "stream ended before the content did";
}

#[cfg(test)]
mod tests {
    use super::Bad;
    use std::collections::HashSet;

    #[test]
    fn names_and_details_are_distinct_and_statuses_are_errors() {
        let names: HashSet<_> = Bad::ALL.iter().map(|b| b.name()).collect();
        let details: HashSet<_> = Bad::ALL.iter().map(|b| b.detail()).collect();
        assert_eq!(names.len(), Bad::ALL.len());
        assert_eq!(details.len(), Bad::ALL.len());
        assert!(Bad::ALL.iter().all(|b| (400..=505).contains(&b.status())));
    }
}
