//! One suite for both file systems, and what only one of them has.

use std::fs as host;
use std::os::unix::fs::symlink;

use super::*;

/// Runs `case` on a fresh file system of either kind.
fn on_both(case: impl Fn(&mut AnyFs)) {
    case(&mut AnyFs::Memory(MemFs::new(64 << 20, 7)));
    let dir = tempfile::tempdir().unwrap();
    case(&mut AnyFs::Directory(DirFs::new(dir.path(), 7).unwrap()));
}

fn create(fs: &mut AnyFs, name: &str) -> Handle {
    let root = fs.root();
    fs.create(root, name.as_bytes(), &CreateHow::Guarded(SetAttr::default())).unwrap()
}

fn read(fs: &mut AnyFs, file: Handle, offset: u64, len: usize) -> (Vec<u8>, bool) {
    let mut bytes = vec![0xaa; len];
    let done = fs.read(file, offset, &mut bytes).unwrap();
    bytes.truncate(done.count as usize);
    (bytes, done.eof)
}

fn names(fs: &mut AnyFs, dir: Handle, page: usize) -> Vec<String> {
    let (mut names, mut cookie) = (Vec::new(), 0);
    loop {
        let mut left = page;
        let eof = fs
            .readdir(dir, cookie, &mut |entry| {
                if left == 0 {
                    return false;
                }
                left -= 1;
                assert_ne!(entry.cookie, 0);
                cookie = entry.cookie;
                names.push(String::from_utf8(entry.name.to_vec()).unwrap());
                true
            })
            .unwrap();
        if eof {
            names.sort();
            return names;
        }
        assert!(left < page, "a page without an entry would loop for ever");
    }
}

fn size(size: u64) -> SetAttr {
    SetAttr { size: Some(size), ..SetAttr::default() }
}

#[test]
fn written_bytes_are_read_back_across_page_boundaries() {
    on_both(|fs| {
        let file = create(fs, "data");
        let bytes: Vec<u8> = (0..300_000_u32).map(|i| (i * 7 + i / 256) as u8).collect();
        fs.write(file, 65_000, &bytes, true).unwrap();
        assert_eq!(read(fs, file, 65_000, bytes.len()), (bytes.clone(), true));
        assert_eq!(read(fs, file, 70_000, 5000).0, bytes[5000..10_000]);
        assert_eq!(fs.getattr(file).unwrap().size, 365_000);
        fs.commit(file).unwrap();
    });
}

#[test]
fn holes_read_as_zeros_and_the_end_is_reported() {
    on_both(|fs| {
        let file = create(fs, "sparse");
        fs.write(file, 1 << 30, b"end", false).unwrap();
        assert_eq!(read(fs, file, 5 << 20, 3), (vec![0; 3], false));
        assert_eq!(read(fs, file, (1 << 30) - 1, 100), (b"\0end".to_vec(), true));
        assert_eq!(read(fs, file, (1 << 30) + 3, 100), (vec![], true));
        assert_eq!(read(fs, file, u64::MAX, 100), (vec![], true));
        assert!(fs.getattr(file).unwrap().used < 1 << 20);
    });
}

#[test]
fn growing_after_a_cut_shows_zeros() {
    on_both(|fs| {
        let file = create(fs, "cut");
        fs.write(file, 0, &[1; 200_000], false).unwrap();
        fs.setattr(file, &size(70_000)).unwrap();
        fs.setattr(file, &size(200_000)).unwrap();
        let (bytes, _) = read(fs, file, 0, 200_000);
        assert!(bytes[..70_000].iter().all(|&byte| byte == 1));
        assert!(bytes[70_000..].iter().all(|&byte| byte == 0));
    });
}

#[test]
fn a_removed_file_is_stale_even_when_its_name_comes_back() {
    on_both(|fs| {
        let root = fs.root();
        let file = create(fs, "a");
        fs.write(file, 0, b"old", false).unwrap();
        fs.remove(root, b"a").unwrap();
        let new = create(fs, "a");
        assert_ne!(new, file);
        assert_eq!(fs.getattr(file), Err(FsError::Stale));
        assert_eq!(fs.read(file, 0, &mut [0; 4]), Err(FsError::Stale));
        assert_eq!(fs.write(file, 0, b"x", false), Err(FsError::Stale));
        assert_eq!(fs.commit(file), Err(FsError::Stale));
        assert_eq!(fs.getattr(new).unwrap().size, 0);
    });
}

#[test]
fn invented_handles_are_stale() {
    on_both(|fs| {
        for handle in [
            Handle { id: 99, generation: 7 },
            Handle { id: u64::MAX, generation: 7 },
            Handle { id: 0, generation: 8 },
        ] {
            assert_eq!(fs.getattr(handle), Err(FsError::Stale));
            assert_eq!(fs.lookup(handle, b"x"), Err(FsError::Stale));
            assert_eq!(fs.readdir(handle, 0, &mut |_| true), Err(FsError::Stale));
        }
    });
}

#[test]
fn create_keeps_the_three_promises() {
    on_both(|fs| {
        let root = fs.root();
        let file = create(fs, "f");
        fs.write(file, 0, b"content", false).unwrap();
        let guarded = CreateHow::Guarded(SetAttr::default());
        assert_eq!(fs.create(root, b"f", &guarded), Err(FsError::Exists));
        assert_eq!(fs.create(root, b"f", &CreateHow::Exclusive([9; 8])), Err(FsError::Exists));
        let unchecked = CreateHow::Unchecked(size(3));
        assert_eq!(fs.create(root, b"f", &unchecked), Ok(file));
        assert_eq!(read(fs, file, 0, 10).0, b"con");

        let made = fs.create(root, b"e", &CreateHow::Exclusive([0xe1; 8])).unwrap();
        assert_eq!(fs.create(root, b"e", &CreateHow::Exclusive([0xe1; 8])), Ok(made));
        assert_eq!(fs.create(root, b"e", &CreateHow::Exclusive([2; 8])), Err(FsError::Exists));
    });
}

#[test]
fn directories_nest_and_refuse_to_go_while_full() {
    on_both(|fs| {
        let root = fs.root();
        let deep = fs.make_path("/a/b/./c/").unwrap();
        assert_eq!(fs.make_path("a/b/c"), Ok(deep));
        assert_eq!(fs.resolve("/a/b/c"), Ok(deep));
        let b = fs.lookup(deep, b"..").unwrap();
        assert_eq!(fs.resolve("a/b"), Ok(b));
        assert_eq!(fs.lookup(root, b".."), Ok(root));
        let a = fs.resolve("a").unwrap();
        assert_eq!(fs.rmdir(a, b"b"), Err(FsError::NotEmpty));
        assert_eq!(fs.remove(b, b"c"), Err(FsError::IsDirectory));
        fs.rmdir(b, b"c").unwrap();
        assert_eq!(fs.lookup(deep, b"x"), Err(FsError::Stale));
        fs.rmdir(a, b"b").unwrap();
        assert_eq!(fs.resolve("a/b"), Err(FsError::NotFound));
        assert_eq!(names(fs, a, 10), [".", ".."]);
    });
}

#[test]
fn listings_continue_where_they_stopped() {
    on_both(|fs| {
        let root = fs.root();
        let mut expected = vec![".".to_owned(), "..".to_owned()];
        for number in 0..100 {
            let name = format!("file-{number:03}");
            create(fs, &name);
            expected.push(name);
        }
        for page in [1, 7, 1000] {
            assert_eq!(names(fs, root, page), expected);
        }
    });
}

#[test]
fn listings_carry_handles_that_work() {
    on_both(|fs| {
        let root = fs.root();
        let file = create(fs, "f");
        let mut seen = None;
        fs.readdir(root, 0, &mut |entry| {
            if entry.name == b"f" {
                seen = entry.object;
            }
            true
        })
        .unwrap();
        let (handle, attr) = seen.unwrap();
        assert_eq!((handle, Ok(attr)), (file, fs.getattr(file)));
    });
}

#[test]
fn odd_names_and_kinds_are_refused() {
    on_both(|fs| {
        let root = fs.root();
        let how = CreateHow::Unchecked(SetAttr::default());
        let long = [b'x'; NAME_BYTES_MAX + 1];
        assert_eq!(fs.create(root, &long, &how), Err(FsError::NameTooLong));
        assert_eq!(fs.lookup(root, &long), Err(FsError::NameTooLong));
        for name in [b"a/b".as_slice(), b"a\0b", b""] {
            assert_eq!(fs.create(root, name, &how), Err(FsError::Access));
        }
        assert_eq!(fs.create(root, b"..", &how), Err(FsError::Exists));
        let file = create(fs, "f");
        assert_eq!(fs.lookup(file, b"x"), Err(FsError::NotDirectory));
        assert_eq!(fs.create(file, b"x", &how), Err(FsError::NotDirectory));
        assert_eq!(fs.read(root, 0, &mut [0; 4]), Err(FsError::IsDirectory));
        assert_eq!(fs.write(root, 0, b"x", false), Err(FsError::IsDirectory));
        assert_eq!(fs.setattr(root, &size(1)), Err(FsError::IsDirectory));
        assert_eq!(fs.write(file, u64::MAX - 1, b"xyz", false), Err(FsError::TooLarge));
        assert_eq!(fs.readdir(file, 0, &mut |_| true), Err(FsError::NotDirectory));
        assert_eq!(fs.remove(root, b"absent"), Err(FsError::NotFound));
        assert_eq!(fs.readlink(file), Err(FsError::Invalid));
    });
}

#[test]
fn attributes_are_kept() {
    on_both(|fs| {
        let file = create(fs, "f");
        let time = Time { seconds: 1_000_000_000, nanos: 5_000 };
        let set = SetAttr {
            mode: Some(0o640),
            mtime: SetTime::To(time),
            atime: SetTime::Now,
            ..SetAttr::default()
        };
        fs.setattr(file, &set).unwrap();
        let attr = fs.getattr(file).unwrap();
        assert_eq!((attr.kind, attr.mode, attr.mtime), (Kind::File, 0o640, time));
        assert_ne!(attr.atime, time);
    });
}

#[test]
fn memory_is_bounded_and_given_back() {
    let mut fs = MemFs::new(256 << 10, 1);
    let root = fs.root();
    let how = CreateHow::Unchecked(SetAttr::default());
    let file = fs.create(root, b"f", &how).unwrap();
    fs.write(file, 0, &[1; 200 << 10], false).unwrap();
    assert_eq!(fs.write(file, 200 << 10, &[2; 200 << 10], false), Err(FsError::NoSpace));
    assert_eq!(fs.space().unwrap().free_bytes, 0);
    // What was there may still be changed, and a second file has no room.
    fs.write(file, 100, &[3; 1000], false).unwrap();
    let other = fs.create(root, b"g", &how).unwrap();
    assert_eq!(fs.write(other, 0, b"x", false), Err(FsError::NoSpace));
    fs.remove(root, b"f").unwrap();
    assert_eq!(fs.space().unwrap().free_bytes, 256 << 10);
    fs.write(other, 0, &[4; 256 << 10], false).unwrap();
    let mut byte = [0];
    fs.setattr(other, &SetAttr { size: Some(1), ..SetAttr::default() }).unwrap();
    fs.setattr(other, &SetAttr { size: Some(256 << 10), ..SetAttr::default() }).unwrap();
    fs.read(other, 100 << 10, &mut byte).unwrap();
    assert_eq!(byte, [0], "a page that was used before shows zeros");
}

#[test]
fn symbolic_links_do_not_lead_out_of_the_directory() {
    let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    host::write(outside.path().join("secret"), b"secret").unwrap();
    symlink(outside.path(), dir.path().join("link")).unwrap();
    symlink(outside.path().join("secret"), dir.path().join("file")).unwrap();
    let mut fs = DirFs::new(dir.path(), 1).unwrap();
    let root = fs.root();
    let link = fs.lookup(root, b"link").unwrap();
    assert_eq!(fs.getattr(link).unwrap().kind, Kind::Symlink);
    assert_eq!(fs.readlink(link).unwrap(), outside.path().as_os_str().as_encoded_bytes());
    assert_eq!(fs.lookup(link, b"secret"), Err(FsError::NotDirectory));
    let file = fs.lookup(root, b"file").unwrap();
    assert_eq!(fs.read(file, 0, &mut [0; 4]), Err(FsError::Invalid));
    assert_eq!(fs.write(file, 0, b"x", false), Err(FsError::Invalid));

    // A directory that becomes a link after its handle was given out.
    let sub = fs.make_path("sub").unwrap();
    host::remove_dir(dir.path().join("sub")).unwrap();
    symlink(outside.path(), dir.path().join("sub")).unwrap();
    assert_eq!(fs.lookup(sub, b"secret"), Err(FsError::Stale));
    assert_eq!(host::read(outside.path().join("secret")).unwrap(), b"secret");
}

#[test]
fn host_and_target_see_each_other() {
    let dir = tempfile::tempdir().unwrap();
    host::write(dir.path().join("theirs"), b"hello").unwrap();
    let mut fs = AnyFs::Directory(DirFs::new(dir.path(), 1).unwrap());
    let root = fs.root();
    let theirs = fs.lookup(root, b"theirs").unwrap();
    assert_eq!(read(&mut fs, theirs, 0, 10).0, b"hello");
    let ours = create(&mut fs, "ours");
    fs.write(ours, 0, b"world", true).unwrap();
    assert_eq!(host::read(dir.path().join("ours")).unwrap(), b"world");
    host::remove_file(dir.path().join("ours")).unwrap();
    assert_eq!(fs.getattr(ours), Err(FsError::Stale));
}

#[test]
fn more_files_than_may_be_open_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut fs = AnyFs::Directory(DirFs::new(dir.path(), 1).unwrap());
    let files: Vec<_> = (0..300).map(|number| create(&mut fs, &number.to_string())).collect();
    for (number, file) in files.iter().enumerate() {
        fs.write(*file, 0, &[number as u8], false).unwrap();
    }
    for (number, file) in files.iter().enumerate() {
        assert_eq!(read(&mut fs, *file, 0, 2), (vec![number as u8], true));
    }
}

#[test]
fn a_crash_loses_what_was_neither_stable_nor_committed() {
    let capacity = 1 << 20;
    let mut fs = AnyFs::Memory(MemFs::new(capacity, 1).losing_unstable());
    let (file, other) = (create(&mut fs, "f"), create(&mut fs, "g"));
    fs.write(file, 0, &[1; 100_000], false).unwrap();
    fs.commit(file).unwrap();
    fs.write(file, 50_000, &[2; 100_000], false).unwrap();
    fs.write(file, 60_000, &[3; 10], false).unwrap();
    fs.write(other, 0, &[4; 10], true).unwrap();
    assert_eq!(read(&mut fs, file, 60_005, 10).0, [3, 3, 3, 3, 3, 2, 2, 2, 2, 2]);
    fs.crash();
    assert_eq!(read(&mut fs, file, 0, 200_000), (vec![1; 100_000], true));
    assert_eq!(read(&mut fs, other, 0, 20), (vec![4; 10], true));
    fs.write(file, 0, &[5; 10], false).unwrap();
    fs.setattr(file, &size(5)).unwrap();
    fs.crash();
    assert_eq!(read(&mut fs, file, 0, 20), (vec![5; 5], true), "a new size is durable at once");
    let root = fs.root();
    fs.write(file, 0, &[6; 10], false).unwrap();
    fs.remove(root, b"f").unwrap();
    fs.remove(root, b"g").unwrap();
    assert_eq!(fs.space().unwrap().free_bytes, capacity, "what was held apart is free again");
}
