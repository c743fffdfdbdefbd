//! Watches the configuration file.
//!
//! Polled once a second: inotify would miss what matters most (an editor's rename, a Kubernetes
//! volume's symlink swap, a network file system). A look follows symlinks and compares inode, size
//! and times, and reads the file only when one of them changed. A change is reported when two
//! looks in a row agree, so a file being written is not taken half done, and only when the content
//! differs from what was last reported.

use std::hash::Hasher;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use crate::limits::CONFIG_FILE_MAX;

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

/// A hash of a file's content: only to tell whether it is the same, within this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content(u64);

impl Content {
    /// Of what was read before.
    pub fn of(text: &[u8]) -> Self {
        let mut hasher = std::hash::DefaultHasher::new();
        hasher.write(text);
        Self(hasher.finish())
    }

    fn read(path: &Path) -> io::Result<Self> {
        let mut text = Vec::new();
        std::fs::File::open(path)?.take(CONFIG_FILE_MAX).read_to_end(&mut text)?;
        Ok(Self::of(&text))
    }
}

/// The watcher's memory between looks.
#[derive(Debug)]
struct Watched {
    path: PathBuf,
    /// The stamp whose content is known.
    settled: Option<Stamp>,
    /// A new stamp that a second look has to confirm.
    seen: Option<Stamp>,
    content: Content,
}

impl Watched {
    /// Nothing is known of the file but what was loaded from it: it may have changed since.
    fn new(path: PathBuf, loaded: Content) -> Self {
        Self { path, settled: None, seen: None, content: loaded }
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
        std::mem::replace(&mut self.content, content) != content
    }
}

/// Watches `path` until the receiver is dropped; sends when there is content that is neither what
/// was `loaded` nor what was last told. A change that comes while the last one still waits in the
/// channel is not sent twice.
pub async fn watch(path: PathBuf, loaded: Content, changed: mpsc::Sender<()>) {
    watch_every(Watched::new(path, loaded), LOOK_EVERY, changed).await;
}

async fn watch_every(mut watched: Watched, every: Duration, changed: mpsc::Sender<()>) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = changed.closed() => return,
        }
        let look = tokio::task::spawn_blocking(move || {
            let new = watched.look();
            (watched, new)
        });
        let Ok((back, new)) = look.await else { return };
        watched = back;
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

    /// A watcher that has seen the file.
    fn known(path: &Path) -> Watched {
        let mut watched = Watched::new(path.to_owned(), Content::read(path).unwrap());
        assert!(!watched.look() && !watched.look());
        watched
    }

    #[test]
    fn a_change_before_the_first_look_is_seen() {
        let (_dir, path) = start("two");
        let mut watched = Watched::new(path, Content::of(b"one"));
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

    #[tokio::test]
    async fn the_channel_hears_of_it() {
        let (_dir, path) = start("one");
        let (sender, mut receiver) = mpsc::channel(1);
        let watched = Watched::new(path.clone(), Content::of(b"one"));
        let task = tokio::spawn(watch_every(watched, Duration::from_millis(1), sender));
        fs::write(&path, "two").unwrap();
        let heard = receiver.recv();
        tokio::time::timeout(Duration::from_secs(10), heard).await.expect("in time");
        drop(receiver);
        tokio::time::timeout(Duration::from_secs(10), task).await.expect("ends").unwrap();
    }
}
