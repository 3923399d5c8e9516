//! A queue of places of a mount: as many as there are fit in, and each is in it at most once.

/// First in, first out; it never grows.
#[derive(Debug)]
pub(super) struct Queue {
    /// As many as a power of two.
    places: Box<[u32]>,
    /// How many came in, and how many of them went out, wrapping.
    put: u32,
    taken: u32,
}

impl Queue {
    /// For so many places.
    pub(super) fn new(count: u32) -> Self {
        Self { places: vec![0; count.next_power_of_two() as usize].into(), put: 0, taken: 0 }
    }

    /// How many are in it.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.put.wrapping_sub(self.taken) as usize
    }

    #[inline(always)]
    pub(super) fn push_back(&mut self, slot: u32) {
        debug_assert!(self.len() < self.places.len(), "each place is in it at most once");
        let mask = self.places.len() - 1;
        self.places[self.put as usize & mask] = slot;
        self.put = self.put.wrapping_add(1);
    }

    #[inline(always)]
    pub(super) fn pop_front(&mut self) -> Option<u32> {
        if self.put == self.taken {
            return None;
        }
        let mask = self.places.len() - 1;
        let slot = self.places[self.taken as usize & mask];
        self.taken = self.taken.wrapping_add(1);
        Some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::Queue;

    #[test]
    fn what_came_first_goes_first_however_often_it_wraps() {
        let mut queue = Queue::new(5);
        queue.put = u32::MAX - 2;
        queue.taken = u32::MAX - 2;
        for round in 0..10 {
            (0..5).for_each(|slot| queue.push_back(round * 5 + slot));
            assert_eq!(queue.len(), 5);
            (0..5).for_each(|slot| assert_eq!(queue.pop_front(), Some(round * 5 + slot)));
            assert_eq!(queue.pop_front(), None);
        }
    }
}
