//! Watches the configuration file and the files it names.
//!
//! Polled once a second: inotify would miss what matters most (an editor's rename, a Kubernetes
//! volume's symlink swap, a network file system). A look follows symlinks and compares inode, size
//! and times, and reads the file only when one of them changed. A change is reported when two
//! looks in a row agree, so a file being written is not taken half done, and only when the content
//! differs from what was last reported. Of many files a look takes in some, the next ones the next.

use std::collections::HashMap;
use std::ffi::OsString;
use std::hash::Hasher;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};

use crate::limits::{CONFIG_FILE_MAX, TLS_FOLDER_MAX, WATCH_FILES_A_LOOK, WATCH_PATIENCE};

/// Time between two looks.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a look at the file's metadata shows. Equal stamps: not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> io::Result<Self> {
        let meta = std::fs::metadata(path)?;
        Ok(Self {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    }
}

/// A hash of a file's content, or of the names in a folder: only to tell whether it is the same,
/// within this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content(u64);

impl Content {
    /// Of what was read before.
    pub fn of(text: &[u8]) -> Self {
        let mut hasher = std::hash::DefaultHasher::new();
        hasher.write(text);
        Self(hasher.finish())
    }

    /// Of a folder's [`listing`].
    pub fn of_listing(names: &[OsString]) -> Self {
        let mut hasher = std::hash::DefaultHasher::new();
        for name in names {
            hasher.write(name.as_bytes());
            // No name has one.
            hasher.write_u8(b'/');
        }
        Self(hasher.finish())
    }

    fn read(path: &Path) -> io::Result<Self> {
        if path.is_dir() {
            return Ok(Self::of_listing(&listing(path)?));
        }
        let mut text = Vec::new();
        std::fs::File::open(path)?.take(CONFIG_FILE_MAX).read_to_end(&mut text)?;
        Ok(Self::of(&text))
    }
}

/// The names in a folder, sorted.
///
/// # Errors
/// Where it can't be read, or has too many.
pub fn listing(folder: &Path) -> io::Result<Vec<OsString>> {
    let entries = std::fs::read_dir(folder)?.take(TLS_FOLDER_MAX + 1);
    let mut names = entries.map(|e| e.map(|e| e.file_name())).collect::<io::Result<Vec<_>>>()?;
    if names.len() > TLS_FOLDER_MAX {
        let message = format!("there are more than {TLS_FOLDER_MAX} files in it");
        return Err(io::Error::other(message));
    }
    names.sort_unstable();
    Ok(names)
}

/// A file or folder that was read, and what was there; `None`: it could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Where.
    pub path: PathBuf,
    /// What was there.
    pub content: Option<Content>,
}

/// The watcher's memory of one file between looks.
#[derive(Debug)]
struct Watched {
    path: PathBuf,
    /// The stamp whose content is known.
    settled: Option<Stamp>,
    /// A new stamp that a second look has to confirm.
    seen: Option<Stamp>,
    content: Option<Content>,
}

impl Watched {
    /// Nothing is known of the file but what was loaded from it: it may have changed since.
    fn new(loaded: Seen) -> Self {
        Self { path: loaded.path, settled: None, seen: None, content: loaded.content }
    }

    /// One look: whether there is new content to load. A file that is gone or cannot be read is
    /// not a change: what is in force stays until there is something to put in its place.
    fn look(&mut self) -> bool {
        let Ok(stamp) = Stamp::of(&self.path) else {
            self.seen = None;
            return false;
        };
        if self.settled == Some(stamp) {
            self.seen = None;
            return false;
        }
        if self.seen != Some(stamp) {
            self.seen = Some(stamp);
            return false;
        }
        let Ok(content) = Content::read(&self.path) else { return false };
        // Written to while it was read: look again.
        if Stamp::of(&self.path).ok() != Some(stamp) {
            return false;
        }
        self.seen = None;
        self.settled = Some(stamp);
        self.content.replace(content) != Some(content)
    }
}

/// All that is watched.
#[derive(Debug)]
struct Watch {
    config: Watched,
    /// What the configuration names.
    named: Vec<Watched>,
    /// From where the next look goes on.
    next: usize,
    /// Looks since a change that has not been told.
    waited: Option<u32>,
}

impl Watch {
    fn new(config: Seen) -> Self {
        Self { config: Watched::new(config), named: Vec::new(), next: 0, waited: None }
    }

    /// Takes these for the files that are named; what is known of those that stay is kept.
    fn name(&mut self, files: Vec<Seen>) {
        let known = self.named.drain(..).map(|watched| (watched.path.clone(), watched));
        let mut known: HashMap<PathBuf, Watched> = known.collect();
        let mut keep = |seen: Seen| match known.remove(&seen.path) {
            Some(watched) if watched.content == seen.content => watched,
            _ => Watched::new(seen),
        };
        self.named = files.into_iter().map(&mut keep).collect();
        self.next = 0;
    }

    /// One look: whether it is time to load. Several files are often changed together, so a change
    /// waits a little for others that have begun.
    fn look(&mut self) -> bool {
        let mut changed = self.config.look();
        let end = (self.next + WATCH_FILES_A_LOOK).min(self.named.len());
        for (position, watched) in self.named.iter_mut().enumerate() {
            if (self.next..end).contains(&position) || watched.seen.is_some() {
                changed |= watched.look();
            }
        }
        self.next = if end == self.named.len() { 0 } else { end };
        let waited = match self.waited {
            Some(waited) => waited + 1,
            None if changed => 0,
            None => return false,
        };
        let under_way = self.config.seen.is_some() || self.named.iter().any(|w| w.seen.is_some());
        let tell = !under_way || waited >= WATCH_PATIENCE;
        self.waited = if tell { None } else { Some(waited) };
        tell
    }
}

/// Watches a configuration file and what it is said to name until the receiver is dropped; sends
/// when there is content that is neither what was loaded nor what was last told. A change that
/// comes while the last one still waits in the channel is not sent twice.
pub async fn watch(config: Seen, named: watch::Receiver<Vec<Seen>>, changed: mpsc::Sender<()>) {
    watch_every(Watch::new(config), named, LOOK_EVERY, changed).await;
}

async fn watch_every(
    mut watch: Watch,
    mut named: watch::Receiver<Vec<Seen>>,
    every: Duration,
    changed: mpsc::Sender<()>,
) {
    named.mark_changed();
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = changed.closed() => return,
        }
        if named.has_changed().unwrap_or(false) {
            watch.name(named.borrow_and_update().clone());
        }
        let look = tokio::task::spawn_blocking(move || {
            let new = watch.look();
            (watch, new)
        });
        let Ok((back, new)) = look.await else { return };
        watch = back;
        if new && matches!(changed.try_send(()), Err(mpsc::error::TrySendError::Closed(()))) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn start(text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tollgate.toml");
        fs::write(&path, text).unwrap();
        (dir, path)
    }

    fn loaded(path: &Path) -> Seen {
        Seen { path: path.to_owned(), content: Content::read(path).ok() }
    }

    /// A watcher that has seen the file.
    fn known(path: &Path) -> Watched {
        let mut watched = Watched::new(loaded(path));
        assert!(!watched.look() && !watched.look());
        watched
    }

    #[test]
    fn a_change_before_the_first_look_is_seen() {
        let (_dir, path) = start("two");
        let mut watched = Watched::new(Seen { path, content: Some(Content::of(b"one")) });
        assert!(!watched.look());
        assert!(watched.look());
        assert!(!watched.look());
    }

    #[test]
    fn a_change_is_reported_once_and_only_when_settled() {
        let (_dir, path) = start("one");
        let mut watched = known(&path);
        assert!(!watched.look());
        fs::write(&path, "two, half").unwrap();
        assert!(!watched.look(), "first look at the new file");
        fs::write(&path, "two, and the rest").unwrap();
        assert!(!watched.look(), "still being written");
        assert!(watched.look(), "settled");
        assert!(!watched.look(), "reported already");
    }

    #[test]
    fn the_same_content_written_again_is_no_change() {
        let (dir, path) = start("same");
        let mut watched = known(&path);
        let other = dir.path().join("other");
        fs::write(&other, "same").unwrap();
        fs::rename(&other, &path).unwrap();
        assert!(!watched.look());
        assert!(!watched.look());
        assert!(!watched.look());
    }

    #[test]
    fn a_symlink_that_points_elsewhere_is_a_change() {
        let (dir, path) = start("one");
        let (link, new) = (dir.path().join("link"), dir.path().join("new"));
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let mut watched = known(&link);
        fs::write(dir.path().join("two"), "two").unwrap();
        std::os::unix::fs::symlink(dir.path().join("two"), &new).unwrap();
        fs::rename(&new, &link).unwrap();
        assert!(!watched.look());
        assert!(watched.look());
    }

    #[test]
    fn a_file_that_is_gone_is_no_change_until_it_is_back() {
        let (_dir, path) = start("one");
        let mut watched = known(&path);
        fs::remove_file(&path).unwrap();
        assert!(!watched.look());
        assert!(!watched.look());
        fs::write(&path, "back").unwrap();
        assert!(!watched.look());
        assert!(watched.look());
    }

    /// Looks until there is nothing new to see.
    fn settle(watch: &mut Watch) {
        while watch.look()
            || watch.config.seen.is_some()
            || watch.named.iter().any(|w| w.seen.is_some())
        {}
    }

    #[test]
    fn files_that_change_together_are_told_together() {
        let (dir, path) = start("config");
        let names = ["certificate", "key"].map(|name| dir.path().join(name));
        names.iter().for_each(|name| fs::write(name, "old").unwrap());
        let mut watch = Watch::new(loaded(&path));
        watch.name(names.iter().map(|name| loaded(name)).collect());
        settle(&mut watch);
        fs::write(&names[0], "new").unwrap();
        assert!(!watch.look(), "first look");
        fs::write(&names[1], "new").unwrap();
        assert!(!watch.look(), "the key is under way");
        assert!(watch.look());
        assert!(!watch.look());
    }

    #[test]
    fn a_file_that_never_settles_holds_up_the_others_for_a_while_only() {
        let (dir, path) = start("config");
        let restless = dir.path().join("restless");
        fs::write(&restless, "0").unwrap();
        let mut watch = Watch::new(loaded(&path));
        watch.name(vec![loaded(&restless)]);
        settle(&mut watch);
        fs::write(&path, "new config").unwrap();
        let mut text = String::new();
        let told = (0..20).find(|_| {
            text.push('x');
            fs::write(&restless, &text).unwrap();
            watch.look()
        });
        assert_eq!(told, Some(1 + WATCH_PATIENCE));
    }

    #[test]
    fn a_named_file_that_appears_and_a_folder_that_fills_are_changes() {
        let (dir, path) = start("config");
        let folder = dir.path().join("certificates");
        fs::create_dir(&folder).unwrap();
        let missing = dir.path().join("missing");
        let mut watch = Watch::new(loaded(&path));
        watch.name(vec![loaded(&folder), loaded(&missing)]);
        settle(&mut watch);
        fs::write(&missing, "here").unwrap();
        assert!(!watch.look());
        assert!(watch.look());
        fs::write(folder.join("a.crt"), "a").unwrap();
        assert!(!watch.look());
        assert!(watch.look());
    }

    #[test]
    fn of_many_files_each_has_its_turn() {
        let (dir, path) = start("config");
        let names: Vec<PathBuf> =
            (0..WATCH_FILES_A_LOOK + 10).map(|n| dir.path().join(n.to_string())).collect();
        names.iter().for_each(|name| fs::write(name, "old").unwrap());
        let mut watch = Watch::new(loaded(&path));
        watch.name(names.iter().map(|name| loaded(name)).collect());
        (0..4).for_each(|_| assert!(!watch.look()));
        let last = names.last().unwrap();
        fs::write(last, "new").unwrap();
        assert_eq!((0..4).filter(|_| watch.look()).count(), 1);
    }

    #[tokio::test]
    async fn the_channel_hears_of_it() {
        let (_dir, path) = start("one");
        let (sender, mut receiver) = mpsc::channel(1);
        let (_named, names) = watch::channel(Vec::new());
        let watch = Watch::new(Seen { path: path.clone(), content: Some(Content::of(b"one")) });
        let task = tokio::spawn(watch_every(watch, names, Duration::from_millis(1), sender));
        fs::write(&path, "two").unwrap();
        let heard = receiver.recv();
        tokio::time::timeout(Duration::from_secs(10), heard).await.expect("in time");
        drop(receiver);
        tokio::time::timeout(Duration::from_secs(10), task).await.expect("ends").unwrap();
    }
}
