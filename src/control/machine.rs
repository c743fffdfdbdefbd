//! What a configuration asks of the machine that it is checked on: cores and folders.

use std::path::Path;

use crate::config::{Remark, Settings, Severity, Step};
use crate::worker::cores;

/// What this machine lacks.
pub(super) fn remarks(settings: &Settings) -> Vec<Remark> {
    let path = settings.access_log.path.as_deref();
    let log = path.filter(|path| !path.as_os_str().is_empty()).and_then(log_file);
    missing_cores(&settings.server.cores, &cores::allowed()).into_iter().chain(log).collect()
}

fn missing_cores(cores: &[usize], allowed: &[usize]) -> Vec<Remark> {
    let missing = cores.iter().enumerate().filter(|(_, core)| !allowed.contains(core));
    let remark = |(position, core): (usize, &usize)| {
        let at = vec![Step::Key("server"), Step::Key("cores"), Step::Item(position)];
        let message = format!("this machine has no core {core} that the gateway may run on");
        error(at, message, format!("it may run on {}", ranges(allowed)))
    };
    missing.map(remark).collect()
}

/// `0-3, 6`.
fn ranges(cores: &[usize]) -> String {
    let runs = cores.chunk_by(|one, next| one + 1 == *next);
    let run = |run: &[usize]| match run {
        [first, .., last] => format!("{first}-{last}"),
        run => run.iter().map(ToString::to_string).collect(),
    };
    runs.map(run).collect::<Vec<_>>().join(", ")
}

fn log_file(path: &Path) -> Option<Remark> {
    let at = || vec![Step::Key("access_log"), Step::Key("path")];
    if path.is_dir() {
        let message = format!("{} is a folder", path.display());
        return Some(error(at(), message, "write a file in it".to_owned()));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty())?;
    let message = format!("there is no folder {}", folder.display());
    (!folder.is_dir()).then(|| error(at(), message, "make it, or write another path".to_owned()))
}

fn error(at: Vec<Step>, message: String, help: String) -> Remark {
    Remark { severity: Severity::Error, at, message, help }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_told_in_ranges() {
        assert_eq!(ranges(&[0, 1, 2, 3, 6]), "0-3, 6");
        assert_eq!(ranges(&[4]), "4");
        assert_eq!(ranges(&[]), "");
    }

    #[test]
    fn a_core_that_is_not_there_is_told_by_its_place() {
        let remarks = missing_cores(&[1, 77], &[0, 1]);
        assert_eq!(remarks.len(), 1);
        assert_eq!(remarks[0].at, [Step::Key("server"), Step::Key("cores"), Step::Item(1)]);
        assert_eq!(remarks[0].help, "it may run on 0-1");
    }

    #[test]
    fn an_access_log_needs_its_folder() {
        assert!(log_file(Path::new("access.log")).is_none());
        assert!(log_file(Path::new("/access.log")).is_none());
        assert!(log_file(Path::new("/")).unwrap().message.ends_with("is a folder"));
        let message = log_file(Path::new("/nonexistent/access.log")).unwrap().message;
        assert_eq!(message, "there is no folder /nonexistent");
    }
}
