#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

fn wire(frames: &[Frame]) -> Bytes {
    pieces(frames.to_vec()).concat().into()
}

fn frames() -> Vec<Frame> {
    let body = |length: usize, byte: u8| Bytes::from(vec![byte; length]);
    vec![
        Frame::default(),
        Frame::from(body(1, 1)),
        Frame::new(body(3, 2), body(2, 3)),
        Frame::new(body(5, 4), Bytes::new()),
        Frame::new(body(9, 5), body(COALESCE + 1, 6)),
        Frame::new(body(COALESCE, 7), body(COALESCE - 1, 8)),
        Frame::from(body(3 * CHUNK + 1, 9)),
        Frame::from(body(300, 10)),
    ]
}

fn content(frame: &Frame) -> Vec<u8> {
    [frame.head.as_ref(), frame.body.as_ref()].concat()
}

#[test]
fn a_frame_is_its_length_in_little_endian_and_its_bytes() {
    let frame = Frame::new(Bytes::from_static(b"ab"), Bytes::from_static(b"c"));
    assert_eq!(wire(&[frame]).as_ref(), b"\x03\x00\x00\x00abc");
}

#[test]
fn whatever_pieces_arrive_the_frames_are_the_same() {
    let sent = frames();
    let wire = wire(&sent);
    for piece in [1, 2, 3, 4, 5, 7, 1200, CHUNK, wire.len()] {
        let mut assembler = Assembler::new(4 * CHUNK);
        let mut received = Vec::new();
        let mut rest = wire.clone();
        while !rest.is_empty() {
            let mut unread = rest.split_to(piece.min(rest.len()));
            while let Some(frame) = assembler.take(&mut unread).unwrap() {
                received.push(frame.to_vec());
            }
            assert!(unread.is_empty(), "what is no whole frame yet has been taken");
        }
        assert!(assembler.is_idle());
        assert_eq!(received, sent.iter().map(content).collect::<Vec<_>>(), "pieces of {piece}");
    }
}

#[test]
fn large_parts_travel_by_reference_and_small_ones_together() {
    let body = Bytes::from(vec![7; 2 * CHUNK]);
    let large = Frame::new(Bytes::from_static(b"head"), body.clone());
    let small = Frame::from(Bytes::from_static(b"vote"));
    let out = pieces([small.clone(), small, large.clone(), large]);
    let within = |piece: &Bytes| body.as_ptr_range().contains(&piece.as_ptr());
    assert_eq!(out.iter().filter(|piece| within(piece)).count(), 4, "two bodies of two chunks each");
    assert_eq!(out.len(), 6, "the two votes and the first header are one piece");
    assert!(out.iter().all(|piece| piece.len() <= CHUNK));
}

#[test]
fn the_largest_frame_passes_and_one_byte_more_does_not() {
    let limit = 1000;
    let mut assembler = Assembler::new(limit);
    let mut fits = wire(&[Frame::from(vec![1; limit])]);
    assert_eq!(assembler.take(&mut fits).unwrap().unwrap().len(), limit);
    let mut exceeds = wire(&[Frame::from(vec![1; limit + 1])]);
    let refused = assembler.take(&mut exceeds).unwrap_err();
    assert_eq!(refused, FrameError::TooLarge { length: limit + 1, limit });
    assert_eq!(assembler.body.capacity(), 0, "nothing was allocated for it");
}

#[test]
fn the_header_alone_is_enough_to_refuse() {
    let mut assembler = Assembler::new(1 << 20);
    let mut header = Bytes::from_static(&[0xff; HEADER]);
    let refused = assembler.take(&mut header).unwrap_err();
    assert_eq!(refused, FrameError::TooLarge { length: u32::MAX as usize, limit: 1 << 20 });
}

#[test]
fn memory_follows_what_has_arrived() {
    let length = 16 << 20;
    let mut assembler = Assembler::new(length);
    let mut unread = Bytes::copy_from_slice(&(length as u32).to_le_bytes());
    assert_eq!(assembler.take(&mut unread).unwrap(), None);
    assert_eq!(assembler.body.capacity(), 0);
    for arrived in (1200..length).step_by(1200) {
        let mut unread = Bytes::from_static(&[3; 1200]);
        assert_eq!(assembler.take(&mut unread).unwrap(), None);
        assert_eq!(assembler.body.len(), arrived);
        assert!(assembler.body.capacity() <= FIRST.max(2 * arrived));
    }
}
