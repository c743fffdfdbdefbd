//! What a request is answered that does not prove who calls: WWW-Authenticate (RFC 9110 section 11.6.1).

use super::places::Place;
use super::product::{Places, Way};

/// The lines for requests without a credential and with a bad one. Bearer and Basic are challenged by
/// their own names; what has no scheme, by one that says where the key is looked for. How tokens are shown in
/// Authorization is for those who take them to say (`jwt::write_challenges`).
pub(super) fn challenges(name: &str, ways: &[Way], places: &Places) -> (Box<[u8]>, Box<[u8]>) {
    let realm = self::realm(name);
    let mut schemes: Vec<(String, &str)> = Vec::new();
    let mut add = |challenge: String, bad: &'static str| {
        if !schemes.iter().any(|(known, _)| *known == challenge) {
            schemes.push((challenge, bad));
        }
    };
    let basic = format!("Basic realm=\"{realm}\", charset=\"UTF-8\"");
    if ways.contains(&Way::Basic) {
        add(basic.clone(), "");
    }
    let tokens = places.token.iter().filter(|place| **place != Place::Bearer);
    for place in places.user_key.iter().chain(&places.app_key).chain(tokens) {
        let text = |name: &[u8]| quotable(&String::from_utf8_lossy(name));
        match place {
            // RFC 6750 section 3.1: no error for those who did not try.
            Place::Bearer => add(format!("Bearer realm=\"{realm}\""), ", error=\"invalid_token\""),
            Place::BasicUser | Place::BasicPassword => {
                add(basic.clone(), "");
            }
            Place::Header(name) => {
                add(format!("ApiKey realm=\"{realm}\", header=\"{}\"", text(name)), "");
            }
            Place::Query(name) => {
                let name: String = text(name).chars().filter(|c| matches!(c, ' '..='~')).collect();
                add(format!("ApiKey realm=\"{realm}\", query=\"{name}\""), "");
            }
        }
    }
    if ways.contains(&Way::Certificate) {
        add(format!("ClientCertificate realm=\"{realm}\""), "");
    }
    let lines = |bad: bool| {
        let line = |(challenge, error): &(String, &str)| {
            format!("WWW-Authenticate: {challenge}{}\r\n", if bad { error } else { &"" })
        };
        schemes.iter().map(line).collect::<String>().into_bytes().into_boxed_slice()
    };
    (lines(false), lines(true))
}

/// What a product of this name is called where credentials are asked for (RFC 9110 section 11.5).
pub fn realm(name: &str) -> String {
    quotable(name)
}

/// A text as it may stand between quotes.
fn quotable(text: &str) -> String {
    text.replace(['"', '\\'], "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scheme_is_named_once_and_only_bearer_tells_errors() {
        let places = Places {
            user_key: ["header:X-API-Key", "bearer", "basic_user", "basic_password"]
                .map(|place| place.parse().unwrap())
                .into(),
            ..Places::default()
        };
        let (absent, bad) = challenges("orders", &[Way::UserKey], &places);
        let text = |lines: &[u8]| String::from_utf8(lines.to_vec()).unwrap();
        assert_eq!(
            text(&absent),
            "WWW-Authenticate: ApiKey realm=\"orders\", header=\"x-api-key\"\r\n\
             WWW-Authenticate: Bearer realm=\"orders\"\r\n\
             WWW-Authenticate: Basic realm=\"orders\", charset=\"UTF-8\"\r\n"
        );
        assert!(text(&bad).contains("Bearer realm=\"orders\", error=\"invalid_token\"\r\n"));
        let (basic, _) = challenges("orders", &[Way::Basic], &Places::default());
        assert_eq!(text(&basic), "WWW-Authenticate: Basic realm=\"orders\", charset=\"UTF-8\"\r\n");
        let (only, _) = challenges("a\"b", &[Way::Certificate], &Places::default());
        assert_eq!(text(&only), "WWW-Authenticate: ClientCertificate realm=\"a_b\"\r\n");
    }
}
