//! Where certificates are read from, and what was read: the watcher looks at the same files.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::control::watch::{self, Content, Seen};

/// A reader of the files that a configuration names. It remembers each, be it ever so unreadable:
/// one that is missing today may be there tomorrow.
pub struct Files {
    from: From,
    seen: Vec<Seen>,
}

enum From {
    /// Relative names are beside the configuration file.
    Folder(PathBuf),
    Memory(HashMap<PathBuf, Vec<u8>>),
}

impl Files {
    /// Of the disk, beside this configuration file.
    pub fn beside(config: &Path) -> Self {
        let folder = config.parent().unwrap_or(Path::new("")).to_owned();
        Self { from: From::Folder(folder), seen: Vec::new() }
    }

    /// These and no others, with their names.
    pub fn memory<const N: usize>(files: [(&str, Vec<u8>); N]) -> Self {
        let files = files.into_iter().map(|(name, text)| (name.into(), text)).collect();
        Self { from: From::Memory(files), seen: Vec::new() }
    }

    /// What was asked for on the disk, each with what was there.
    pub fn into_seen(self) -> Vec<Seen> {
        self.seen
    }

    /// A file's content, of at most `max` bytes.
    pub fn read(&mut self, name: &Path, max: u64) -> Result<Vec<u8>, String> {
        let folder = match &self.from {
            From::Memory(files) => {
                return files.get(name).cloned().ok_or_else(|| "there is no such file".into());
            }
            From::Folder(folder) => folder,
        };
        let path = folder.join(name);
        let read = read(&path, max);
        let content = read.as_ref().ok().map(|text| Content::of(text));
        self.seen.push(Seen { path, content });
        read
    }

    /// Whether every user of this machine may read or write a file that was read.
    pub(super) fn is_open_to_all(&self, name: &Path) -> bool {
        let From::Folder(folder) = &self.from else { return false };
        let found = std::fs::metadata(folder.join(name));
        found.is_ok_and(|found| found.permissions().mode() & 0o006 != 0)
    }

    /// The names in a folder, sorted.
    pub(super) fn list(&mut self, name: &Path) -> Result<Vec<OsString>, String> {
        let From::Folder(folder) = &self.from else { return Err("there is no such folder".into()) };
        let path = folder.join(name);
        let names = watch::listing(&path).map_err(|e| e.to_string());
        let content = names.as_ref().ok().map(|names| Content::of_listing(names));
        self.seen.push(Seen { path, content });
        names
    }
}

fn read(path: &Path, max: u64) -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    // A pipe would be waited for.
    if !std::fs::metadata(path).map_err(|e| e.to_string())?.is_file() {
        return Err("this is no file".into());
    }
    let file = File::open(path).map_err(|e| e.to_string())?;
    // One byte more than fits tells whether there is more.
    file.take(max + 1).read_to_end(&mut text).map_err(|e| e.to_string())?;
    if text.len() as u64 > max {
        return Err(format!("the file is larger than {max} bytes"));
    }
    Ok(text)
}
