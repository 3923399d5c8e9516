use super::*;

fn piece(bytes: &[u8], offset: u32, len: u32) -> Piece {
    Piece::new(Buffer::from_vec(bytes.to_vec()).unwrap(), offset, len)
}

#[test]
fn bytes_are_spread_over_pieces_from_the_front_and_collected_again() {
    let list = [piece(&[0; 10], 3, 4), piece(&[0; 5], 0, 0), piece(&[0; 9], 8, 1)];
    let mut pieces = Pieces::new(list).unwrap();
    assert_eq!(pieces.total_len(), 5);
    assert_eq!(pieces.copy_from(&[1, 2, 3, 4, 5, 6, 7]), 5, "as many as there is room for");
    assert_eq!(pieces.to_vec(9), [1, 2, 3, 4, 5]);
    assert_eq!(pieces.to_vec(2), [1, 2]);
    let whole: Vec<_> = pieces.into_pieces().into_iter().map(Piece::into_buffer).collect();
    assert_eq!(whole[0].as_ref().unwrap()[..], [0, 0, 0, 1, 2, 3, 4, 0, 0, 0]);
}

#[test]
fn no_pieces_or_too_many_are_given_back() {
    assert!(Pieces::new([]).unwrap_err().is_empty());
    let nine = (0..9).map(|_| piece(&[1], 0, 1));
    assert_eq!(Pieces::new(nine).unwrap_err().len(), 9);
}

#[test]
fn a_piece_that_leaves_its_buffer_has_no_bytes_and_does_not_fit() {
    for (offset, len) in [(0, 11), (10, 1), (u32::MAX, u32::MAX)] {
        let piece = piece(&[7; 10], offset, len);
        assert!(!piece.fits() && piece.bytes().is_empty(), "{len} bytes at {offset}");
    }
    assert!(piece(&[7; 10], 10, 0).fits());
}

#[test]
fn segments_and_sges_name_the_stretch_and_the_keys_of_its_registration() {
    let mut one = Held::One(piece(&[7; 10], 4, 3));
    let start = one.pieces()[0].segment().offset;
    assert_eq!(one.pieces()[0].segment(), Segment { handle: 0, length: 3, offset: start });
    let keys = Keys { lkey: 5, rkey: 6 };
    one.pieces_mut()[0].set_registered(Rc::new(Registered { keys, handle: None }));
    assert_eq!(one.pieces()[0].segment().handle, 6);
    one.lend();
    let first = one.filled().next().map(Piece::sge);
    assert_eq!(first, Some(Sge { addr: start, length: 3, lkey: 5 }));
    assert!(one.pieces()[0].bytes().is_empty(), "nobody looks at it while it is lent");
    // SAFETY: nothing was posted.
    unsafe { one.reclaim() };
    assert_eq!(one.pieces()[0].segment().handle, 0, "the registration was held for as long");
    assert_eq!(one.take().0.unwrap()[..], [7; 10]);
}
