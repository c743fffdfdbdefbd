//! Where in the file something is said to be.

/// The way from the top of the file to a key, for messages. Lives on the stack; rendered only
/// when something is wrong.
#[derive(Clone, Copy)]
pub(super) struct Trail<'a> {
    parent: Option<&'a Trail<'a>>,
    step: Step<'a>,
    at: usize,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Top,
    Key(&'a str),
    Index(usize),
}

impl<'a> Trail<'a> {
    pub(super) fn top() -> Self {
        Self { parent: None, step: Step::Top, at: 0 }
    }

    /// A place whose key is not known.
    pub(super) fn place(at: usize) -> Self {
        Self { at, ..Self::top() }
    }

    pub(super) fn key(&'a self, key: &'a str, at: usize) -> Self {
        Self { parent: Some(self), step: Step::Key(key), at }
    }

    pub(super) fn index(&'a self, index: usize, at: usize) -> Self {
        Self { parent: Some(self), step: Step::Index(index), at }
    }

    /// Byte offset in the text.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// `routes[2].headers."x-tier"`
    pub(super) fn path(&self) -> String {
        let mut path = self.parent.map(Trail::path).unwrap_or_default();
        match self.step {
            Step::Top => {}
            Step::Index(index) => path.push_str(&format!("[{index}]")),
            Step::Key(key) => {
                if !path.is_empty() {
                    path.push('.');
                }
                let bare = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
                if !key.is_empty() && key.bytes().all(bare) {
                    path.push_str(key);
                } else {
                    path.push_str(&format!("{key:?}"));
                }
            }
        }
        path
    }
}
