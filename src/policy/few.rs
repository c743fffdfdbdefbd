//! A short list that needs no memory of its own.

/// Up to `N` items in place, more on the heap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Few<T, const N: usize> {
    here: [T; N],
    len: usize,
    /// All of them, once they were too many.
    more: Vec<T>,
}

impl<T: Copy + Default, const N: usize> Default for Few<T, N> {
    fn default() -> Self {
        Self { here: [T::default(); N], len: 0, more: Vec::new() }
    }
}

impl<T: Copy + Default, const N: usize> Few<T, N> {
    /// Adds one.
    #[inline]
    pub fn push(&mut self, item: T) {
        if let Some(place) = self.here.get_mut(self.len) {
            *place = item;
        } else {
            if self.len == N {
                self.more.extend_from_slice(&self.here);
            }
            self.more.push(item);
        }
        self.len += 1;
    }

    /// All of them.
    #[inline]
    pub fn as_slice(&self) -> &[T] {
        if self.len <= N { &self.here[..self.len] } else { &self.more }
    }

    /// All of them, to be changed.
    #[inline]
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        if self.len <= N { &mut self.here[..self.len] } else { &mut self.more }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_more_than_its_places() {
        let mut few = Few::<u32, 3>::default();
        for n in 0..10 {
            few.push(n);
            assert_eq!(few.as_slice(), (0..=n).collect::<Vec<_>>());
            assert_eq!(few.as_mut_slice().last_mut(), Some(&mut { n }));
        }
    }
}
