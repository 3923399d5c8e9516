//! Tables that are looked into for every RPC: as long as a power of two, so that any number leads to
//! a place by its low bits, and nothing has to be asked.

use std::ops::{Index, IndexMut};

/// A table that never grows.
#[derive(Debug)]
pub(crate) struct Table<T> {
    /// As many as a power of two, and at least one.
    places: Box<[T]>,
    /// One less than there are.
    mask: u32,
}

impl<T> Table<T> {
    /// At least `count` places, each as `make` says for its number.
    pub(crate) fn new(count: u32, make: impl FnMut(u32) -> T) -> Self {
        let len = count.next_power_of_two();
        Self { places: (0..len).map(make).collect(), mask: len - 1 }
    }

    /// How many places there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// Every place.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.places.iter()
    }

    /// Every place, to be changed.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.places.iter_mut()
    }

    /// The place that a number leads to.
    #[inline(always)]
    pub(crate) fn place(&self, number: u32) -> usize {
        (number & self.mask) as usize
    }
}

impl<T> Index<u32> for Table<T> {
    type Output = T;

    #[inline(always)]
    fn index(&self, number: u32) -> &T {
        let place = self.place(number);
        // SAFETY: nothing has more bits than the mask, which is less than there are places; neither
        // changes.
        unsafe { self.places.get_unchecked(place) }
    }
}

impl<T> IndexMut<u32> for Table<T> {
    #[inline(always)]
    fn index_mut(&mut self, number: u32) -> &mut T {
        let place = self.place(number);
        // SAFETY: as for `index`.
        unsafe { self.places.get_unchecked_mut(place) }
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn every_number_leads_to_a_place() {
        for count in [1, 2, 3, 64, 65, 1000] {
            let mut table = Table::new(count, |number| number);
            assert!(table.len() >= count as usize && table.len().is_power_of_two());
            for number in (0..count).chain([count, u32::MAX, u32::MAX / 2]) {
                assert_eq!(table[number], number % table.len() as u32);
            }
            table[u32::MAX] = 7;
            assert_eq!(table[table.len() as u32 - 1], 7, "the last one");
        }
    }
}
