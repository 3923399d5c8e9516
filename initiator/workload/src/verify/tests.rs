use super::{Mismatch, Pattern, Stamp, Sum, Verifier, WrittenMap, header_bytes};
use crate::job::Job;
use proptest::prelude::*;

fn verifier(options: &str) -> Verifier {
    let text = format!("[j]\nsize=1m\n{options}\n");
    let job: &Job = &crate::JobFile::parse(text.as_bytes(), "t").expect("right").jobs[0];
    Verifier::new(job, 42, 1)
}

fn stamp(offset: u64, generation: Option<u32>) -> Stamp {
    Stamp { offset, generation }
}

/// Measured: `fio --verify=pattern --verify_pattern=TEXT --bs=512 --size=1k`, second block.
#[test]
fn patterns_are_fios_byte_for_byte() {
    for (text, bytes) in [
        ("0xdeadbeef", "deadbeefdeadbeef"),
        ("0xabc", "0abc0abc0abc"),
        ("\"abcd\"", "6162636461626364"),
        ("12", "0c0c0c"),
        ("-1", "ffffff"),
        ("300", "2c012c012c01"),
        ("0xff%o\"ab\"", "ff00020000000000006162ff0002000000"),
        ("%o", "00020000000000000002000000000000"),
    ] {
        let pattern = Pattern::parse(text).expect(text);
        let mut block = vec![0; bytes.len() / 2];
        pattern.fill(&mut block, 512);
        let hex: String = block.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, bytes, "{text}");
        assert_eq!(pattern.check(&block, 512, 0), Ok(()));
    }
    for text in ["", "0x", "\"", "\"\"", "abc", "99999999999", "%x", "-"] {
        assert!(Pattern::parse(text).is_err(), "{text}");
    }
    assert!(Pattern::parse(&format!("0x{}", "ab".repeat(600))).is_err());
}

#[test]
fn what_differs_is_said() {
    let pattern = Pattern::parse("0x0102").expect("right");
    let mut block = vec![0; 10];
    pattern.fill(&mut block, 0);
    block[7] = 9;
    assert_eq!(
        pattern.check(&block, 0, 0),
        Err("pattern differs at byte 7 of the block: expected 0x02, found 0x09".into())
    );
}

#[test]
fn a_header_tells_apart_everything_that_can_be_wrong() {
    let mut verifier = verifier("verify=crc32c");
    let mut block = vec![7; 512];
    verifier.seal(&mut block, stamp(4096, Some(3)));
    assert_eq!(verifier.check(&block, stamp(4096, Some(3))), Ok(()));
    let anybody = verifier.check(&block, stamp(4096, None));
    assert_eq!(anybody, Ok(()), "a reader does not know the write");
    let mut wrong = |block: &[u8], stamp| match verifier.check(block, stamp) {
        Err(Mismatch { found, .. }) => found,
        Ok(()) => String::new(),
    };
    assert_eq!(wrong(&block, stamp(8192, Some(3))), "wrong offset: expected 8192, found 4096");
    assert_eq!(wrong(&block, stamp(4096, Some(4))), "wrong write number: expected 4, found 3");
    assert_eq!(wrong(&block[..256], stamp(4096, None)), "wrong length: expected 256, found 512");
    assert!(wrong(&[0; 512], stamp(0, None)).starts_with("bad magic"));
    assert!(wrong(&[0; 3], stamp(0, None)).contains("holds no header"));
}

#[test]
fn every_sum_finds_a_changed_byte_wherever_its_header_is() {
    for sum in Sum::names().filter(|name| *name != "meta") {
        for more in ["", "verify_interval=1k", "verify_offset=200", "verify_pattern=0x0102%o"] {
            let more = if sum == "pattern_hdr" {
                format!("{more}\nverify_pattern=0x55")
            } else {
                more.into()
            };
            let mut verifier = verifier(&format!("verify={sum}\n{more}"));
            let mut block = vec![7; 4096];
            verifier.seal(&mut block, stamp(8192, Some(3)));
            assert_eq!(verifier.check(&block, stamp(8192, Some(3))), Ok(()), "{sum} {more}");
            block[4000] ^= 1;
            assert!(verifier.check(&block, stamp(8192, Some(3))).is_err(), "{sum} {more}");
        }
    }
}

#[test]
fn names_and_numbers_of_sums_are_one_to_one() {
    let mut codes: Vec<u16> = Sum::names().filter_map(Sum::of).map(Sum::code).collect();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), Sum::names().count());
    assert_eq!(Sum::of("crc32c-intel"), Some(Sum::Crc32c));
    assert_eq!(Sum::of("crc31"), None);
}

#[test]
fn a_pattern_under_a_header_is_kept() {
    let verifier = verifier("verify=crc32c\nverify_pattern=0xab");
    let mut block = vec![0; 512];
    verifier.seal(&mut block, stamp(0, Some(1)));
    assert!(block[header_bytes(Sum::Crc32c)..].iter().all(|&b| b == 0xab));
}

#[test]
fn a_written_map_knows_the_last_write_and_holds_back_the_next() {
    let mut map = WrittenMap::new(8).expect("memory");
    assert_eq!(map.next_written(0, 9), None);
    assert_eq!(map.begin(4, 2), Some(1));
    assert_eq!(map.begin(5, 1), None, "one write at a time");
    assert_eq!(map.begin(2, 1), Some(2));
    map.finish(4, 2);
    assert!(map.is_in_flight(2) && !map.is_in_flight(4));
    assert_eq!(map.next_written(3, 9), Some((4, 2)), "both of one write");
    assert_eq!(map.next_written(3, 1), Some((4, 1)));
    assert_eq!(map.begin(5, 1), Some(3));
    assert_eq!((map.generation(5), map.generation(2), map.generation(0)), (Some(3), Some(2), None));
    assert_eq!(map.next_written(0, 9), Some((2, 1)));
    assert_eq!(map.next_written(4, 9), Some((4, 1)), "the other was written again");
    assert_eq!(map.next_written(6, 9), None);
    assert_eq!(map.next_written(8, 9), None);
    map.forget(4, 2);
    assert_eq!(map.next_written(3, 9), None);
}

proptest! {
    #[test]
    fn any_flipped_bit_is_found(at in 0usize..1024, bit in 0u8..8, seed: u64) {
        let mut verifier = verifier("verify=crc32c");
        let mut block = vec![0; 1024];
        crate::random::DataPool::new(seed).fill(&mut block);
        verifier.seal(&mut block, stamp(seed, Some(9)));
        block[at] ^= 1 << bit;
        prop_assert!(verifier.check(&block, stamp(seed, Some(9))).is_err());
    }

    #[test]
    fn any_block_is_checked_without_panic(block in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = verifier("verify=crc32c").check(&block, stamp(0, Some(1)));
    }
}
