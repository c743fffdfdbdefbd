//! The Date field (RFC 9110 section 6.6.1), made once a second.

use std::time::{Duration, UNIX_EPOCH};

/// The current Date value.
#[derive(Debug, Default)]
pub struct Date {
    second: u64,
    text: String,
}

impl Date {
    /// The value for a time given in seconds since 1970.
    pub fn at(&mut self, unix_seconds: u64) -> &str {
        if self.second != unix_seconds || self.text.is_empty() {
            self.second = unix_seconds;
            self.text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(unix_seconds));
        }
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_follows_the_second() {
        let mut date = Date::default();
        assert_eq!(date.at(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(date.at(784_111_778), "Sun, 06 Nov 1994 08:49:38 GMT");
    }
}
