//! `[upstreams.NAME.tls]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// TLS to an upstream's targets. Their certificates are checked, unless that is switched off by a
/// name that says what it is. Relative file names are looked up beside the configuration file.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UpstreamTls {
    /// The authorities whose certificates count, PEM.
    #[schemars(extend("x-default" = "those of the system"))]
    pub roots: Option<String>,
    /// The name that the targets' certificates must be for, and that they are asked for (SNI).
    #[schemars(extend("x-default" = "each target's own name or address"))]
    pub server_name: Option<String>,
    /// A certificate to show to targets that ask for one, with its chain, PEM.
    #[schemars(extend("x-default" = "none"))]
    pub certificate: Option<String>,
    /// Its private key, PEM.
    #[schemars(extend("x-default" = "none"))]
    pub key: Option<String>,
    /// Takes any certificate from anybody, so that whoever stands between reads and changes
    /// everything. For a test bench.
    pub danger_skip_verification: bool,
}
