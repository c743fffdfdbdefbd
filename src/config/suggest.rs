//! "Did you mean": the nearest of the words that would have been right.

/// The candidate nearest to `word`, where it is near enough to be what was meant.
pub(super) fn nearest<'c>(
    word: &str,
    candidates: impl Iterator<Item = &'c str>,
) -> Option<&'c str> {
    let word = &word.to_ascii_lowercase();
    let allowed = (word.chars().count() / 3).clamp(1, 3);
    candidates
        .filter(|candidate| candidate.len().abs_diff(word.len()) <= allowed * 4)
        .map(|candidate| (distance(word, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= allowed && *distance < candidate.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// What other gateways call it, and what it is called here.
const FOREIGN: [(&str, &str); 53] = [
    ("address", "listen"),
    ("algorithm", "balance"),
    ("backend", "upstream"),
    ("backends", "targets"),
    ("bind", "listen"),
    ("burst_size", "burst"),
    ("client_header_timeout", "header_timeout"),
    ("client_max_body_size", "max_body"),
    ("cluster", "upstream"),
    ("conn_timeout", "connect_timeout"),
    ("endpoints", "targets"),
    ("format", "json"),
    ("hash", "hash_key"),
    ("hash_on", "hash_key"),
    ("hosts", "host"),
    ("keepalive", "max_idle"),
    ("keepalive_requests", "max_requests"),
    ("keepalive_timeout", "idle_timeout"),
    ("lb", "balance"),
    ("lb_policy", "balance"),
    ("load_balancing", "balance"),
    ("location", "path"),
    ("match", "path"),
    ("maxconn", "max_connections"),
    ("method", "methods"),
    ("nodes", "targets"),
    ("paths", "path"),
    ("port", "listen"),
    ("prefix", "path"),
    ("proxy_connect_timeout", "connect"),
    ("proxy_pass", "upstream"),
    ("proxy_read_timeout", "first_byte"),
    ("rate_limit", "limits"),
    ("read", "first_byte"),
    ("real_ip_header", "client_address_from"),
    ("regex", "path_regex"),
    ("request", "total"),
    ("request_timeout", "total"),
    ("return", "respond"),
    ("send", "idle"),
    ("server", "targets"),
    ("server_name", "host"),
    ("servers", "targets"),
    ("service", "upstream"),
    ("sni", "server_names"),
    ("snis", "server_names"),
    ("set_real_ip_from", "trusted_proxies"),
    ("timeout", "timeouts"),
    ("timeout_tunnel", "tunnel"),
    ("upgrade_configs", "upgrades"),
    ("uri", "path"),
    ("url", "path"),
    ("worker_processes", "workers"),
];

/// The words other gateways use for `word`'s meaning here.
pub(super) fn translated(word: &str) -> impl Iterator<Item = &'static str> {
    FOREIGN.iter().filter(move |(foreign, _)| *foreign == word).map(|(_, ours)| *ours)
}

/// Values other gateways use, and what they are called here.
pub(super) fn translated_value(word: &str) -> Option<&'static str> {
    Some(match word {
        "least_conn" | "leastconn" | "least_connections" | "LEAST_REQUEST" | "p2c" => {
            "least_request"
        }
        "roundrobin" | "rr" | "ROUND_ROBIN" => "round_robin",
        "ip_hash" | "hash" | "source" | "consistent_hash" | "consistent-hashing" | "ring_hash"
        | "MAGLEV" => "maglev",
        "uring" | "io-uring" | "iouring" => "io_uring",
        "none" | "disabled" | "false" => "off",
        "x-forwarded-for" | "xff" => "x_forwarded_for",
        "x-ratelimit" => "x_ratelimit",
        _ => return None,
    })
}

/// Edits (insert, delete, replace, swap neighbours) between two words, for short words; others
/// count as far apart.
fn distance(a: &str, b: &str) -> usize {
    const LONGEST: usize = 64;
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len() > LONGEST || b.len() > LONGEST {
        return usize::MAX;
    }
    let mut rows = vec![vec![0usize; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replace = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let edit = replace.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                if swapped { edit.min(rows[i - 2][j - 2] + 1) } else { edit }
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_words() {
        let keys = ["upstream", "host", "path", "path_regex", "methods", "limits"];
        let check = |word, want| assert_eq!(nearest(word, keys.into_iter()), want, "{word}");
        check("upsteam", Some("upstream"));
        check("pathregex", Some("path_regex"));
        check("paht", Some("path"));
        check("Methods", Some("methods"));
        check("colour", None);
        check("", None);
        check(&"x".repeat(1000), None);
    }
}
