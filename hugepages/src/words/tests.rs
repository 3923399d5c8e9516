use std::fs::File;
use std::sync::atomic::Ordering::Relaxed;

use super::Words;

#[test]
fn words_in_memory_begin_as_nothing() {
    let words = Words::in_memory(1000).expect("memory");
    assert!(words.get().iter().all(|word| word.load(Relaxed) == 0));
    words.get()[999].store(7, Relaxed);
    assert_eq!((words.get().len(), words.get()[999].load(Relaxed)), (1000, 7));
    assert_eq!(Words::in_memory(0).expect("nothing").get().len(), 0);
}

#[test]
fn words_in_a_file_are_in_the_file_without_a_call() {
    let place = tempfile::tempdir().expect("a place");
    let path = place.path().join("words");
    let open = || File::options().read(true).write(true).create(true).truncate(false).open(&path);
    std::fs::write(&path, [1; 100]).expect("older words");
    let file = open().expect("a file");
    let words = Words::in_file(&file, b"front...", 3).expect("room");
    words.get()[1].store(0x0403_0201, Relaxed);
    assert_eq!(
        std::fs::read(&path).expect("it is there"),
        b"front...\0\0\0\0\x01\x02\x03\x04\0\0\0\0"
    );
    assert!(Words::in_file(&file, b"odd", 3).is_err());
}

#[test]
fn a_file_without_room_for_its_words_is_an_error() {
    let full = File::options().read(true).write(true).open("/dev/full").expect("Linux has it");
    assert!(Words::in_file(&full, b"", 1 << 20).is_err());
}
