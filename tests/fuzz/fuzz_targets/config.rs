//! Configurations: any text gives settings or mistakes, and settings compile or are refused.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use tollgate::config::{self, Settings, Severity};
use tollgate::control::rehearsal::rehearse;

/// Compiles settings as a reload does, without sockets or addresses of DNS names.
fn compile(settings: &Settings) {
    if let Ok(snapshot) = rehearse(settings, &BTreeMap::new()) {
        assert_eq!(snapshot.routes.len(), settings.routes.len());
        assert_eq!(snapshot.listeners.len(), settings.listeners.len());
        assert_eq!(snapshot.groups.len(), settings.upstreams.len());
    }
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let told = match config::load(text, "fuzz", &|_| None) {
        Ok((settings, warnings)) => {
            assert!(warnings.iter().all(|w| w.severity == Severity::Warning));
            compile(&settings);
            warnings
        }
        Err(mistakes) => {
            assert!(mistakes.iter().any(|m| m.severity == Severity::Error));
            mistakes
        }
    };
    // One of these stands on each line, so none may hold a line end.
    assert!(told.iter().all(|one| !one.to_string().contains('\n')));
});
