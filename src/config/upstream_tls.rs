//! Checked settings of TLS to an upstream's targets.

use std::path::PathBuf;

/// How TLS is spoken to targets. The files are named here and read by control.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UpstreamTls {
    /// Whose certificates count, PEM; `None`: those whom the system trusts.
    pub roots: Option<PathBuf>,
    /// The name that all targets' certificates are for; `None`: each its own.
    pub server_name: Option<String>,
    /// What is shown to targets that ask: a certificate with its chain, and its key, PEM.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Whether any certificate will do.
    pub danger_skip_verification: bool,
}
