//! Status codes, and the way of a status message through a field.

/// Status codes that a gateway gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Code {
    Cancelled = 1,
    Unknown = 2,
    DeadlineExceeded = 4,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    Unauthenticated = 16,
}

impl Code {
    /// The code that stands for an HTTP status: the gRPC project's own mapping for those who get an
    /// answer that is not gRPC's, and for what that leaves to UNKNOWN what says more.
    ///
    /// 429 is RESOURCE_EXHAUSTED rather than its UNAVAILABLE: that is retried by default, and what
    /// has come too often must not be.
    pub fn of_http(status: u16) -> Self {
        match status {
            400 | 500 => Self::Internal,
            401 => Self::Unauthenticated,
            403 => Self::PermissionDenied,
            404 | 405 | 410 | 501 => Self::Unimplemented,
            408 => Self::DeadlineExceeded,
            413 | 414 | 429 | 431 => Self::ResourceExhausted,
            499 => Self::Cancelled,
            502..=504 => Self::Unavailable,
            _ => Self::Unknown,
        }
    }

    /// Its number.
    pub fn number(self) -> u16 {
        self as u16
    }
}

/// A status message as a field's value: what is no printable ASCII, and `%`, as `%HH`.
pub fn escaped(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b'%' | ..b' ' | 0x7f.. => out.push_str(&format!("%{byte:02X}")),
            byte => out.push(char::from(byte)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_of_http_have_the_codes_of_grpcs_own_mapping() {
        for (status, code) in [
            (400, Code::Internal),
            (401, Code::Unauthenticated),
            (403, Code::PermissionDenied),
            (404, Code::Unimplemented),
            (502, Code::Unavailable),
            (503, Code::Unavailable),
            (504, Code::Unavailable),
            (418, Code::Unknown),
        ] {
            assert_eq!(Code::of_http(status), code, "{status}");
        }
        assert_eq!(Code::of_http(429).number(), 8);
    }

    #[test]
    fn messages_are_printable() {
        assert_eq!(escaped("The service can't be reached"), "The service can't be reached");
        assert_eq!(escaped("100 % é\n"), "100 %25 %C3%A9%0A");
    }
}
